from snakepit.v1 import lane_pb2 as _lane_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("adapter", "tools", "sdk_version", "runtime_version", "runtime", "slots", "capabilities", "pid")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    sdk_version: str
    runtime_version: str
    runtime: str
    slots: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    pid: int
    def __init__(self, adapter: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ..., sdk_version: _Optional[str] = ..., runtime_version: _Optional[str] = ..., runtime: _Optional[str] = ..., slots: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., pid: _Optional[int] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "input_schema", "output_schema", "stream", "input_stream", "idempotent", "cancel")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    INPUT_STREAM_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_schema: str
    output_schema: str
    stream: bool
    input_stream: str
    idempotent: bool
    cancel: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[str] = ..., output_schema: _Optional[str] = ..., stream: _Optional[bool] = ..., input_stream: _Optional[str] = ..., idempotent: _Optional[bool] = ..., cancel: _Optional[str] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("host", "incarnation", "worker", "settings")
    HOST_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    host: str
    incarnation: int
    worker: str
    settings: WorkerSettings
    def __init__(self, host: _Optional[str] = ..., incarnation: _Optional[int] = ..., worker: _Optional[str] = ..., settings: _Optional[_Union[WorkerSettings, _Mapping]] = ...) -> None: ...

class WorkerSettings(_message.Message):
    __slots__ = ("strict_results", "max_payload")
    STRICT_RESULTS_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    strict_results: bool
    max_payload: int
    def __init__(self, strict_results: _Optional[bool] = ..., max_payload: _Optional[int] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("lane_token", "lane_address")
    LANE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LANE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    lane_token: bytes
    lane_address: str
    def __init__(self, lane_token: _Optional[bytes] = ..., lane_address: _Optional[str] = ...) -> None: ...

class WorkerCallRequest(_message.Message):
    __slots__ = ("tool", "payload", "content_type", "session", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    tool: str
    payload: bytes
    content_type: str
    session: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, tool: _Optional[str] = ..., payload: _Optional[bytes] = ..., content_type: _Optional[str] = ..., session: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class WorkerCallResponse(_message.Message):
    __slots__ = ("payload",)
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class WorkerStreamRequest(_message.Message):
    __slots__ = ("tool", "payload", "content_type", "session", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    tool: str
    payload: bytes
    content_type: str
    session: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, tool: _Optional[str] = ..., payload: _Optional[bytes] = ..., content_type: _Optional[str] = ..., session: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class WorkerStreamResponse(_message.Message):
    __slots__ = ("payload",)
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class LaneRequest(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[_lane_pb2.Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[_lane_pb2.Frame, _Mapping]]] = ...) -> None: ...

class LaneResponse(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[_lane_pb2.Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[_lane_pb2.Frame, _Mapping]]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
