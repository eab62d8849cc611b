from snakepit.v1 import host_pb2 as _host_pb2
from snakepit.v1 import lane_pb2 as _lane_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PeerOpenRequest(_message.Message):
    __slots__ = ("call", "payload", "more")
    CALL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    call: PeerCall
    payload: bytes
    more: bool
    def __init__(self, call: _Optional[_Union[PeerCall, _Mapping]] = ..., payload: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class PeerCall(_message.Message):
    __slots__ = ("invocation", "stream", "input", "id", "epoch", "ancestors")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    invocation: _host_pb2.Invocation
    stream: bool
    input: bool
    id: str
    epoch: int
    ancestors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, invocation: _Optional[_Union[_host_pb2.Invocation, _Mapping]] = ..., stream: _Optional[bool] = ..., input: _Optional[bool] = ..., id: _Optional[str] = ..., epoch: _Optional[int] = ..., ancestors: _Optional[_Iterable[str]] = ..., **kwargs) -> None: ...

class PeerOpenResponse(_message.Message):
    __slots__ = ("opened", "progress", "chunk", "result", "payload", "more")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    opened: PeerPlace
    progress: _lane_pb2.Progress
    chunk: PeerChunk
    result: PeerResult
    payload: bytes
    more: bool
    def __init__(self, opened: _Optional[_Union[PeerPlace, _Mapping]] = ..., progress: _Optional[_Union[_lane_pb2.Progress, _Mapping]] = ..., chunk: _Optional[_Union[PeerChunk, _Mapping]] = ..., result: _Optional[_Union[PeerResult, _Mapping]] = ..., payload: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class PeerChunk(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerResult(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerPlace(_message.Message):
    __slots__ = ("node", "worker", "epoch", "home")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    node: str
    worker: str
    epoch: int
    home: bool
    def __init__(self, node: _Optional[str] = ..., worker: _Optional[str] = ..., epoch: _Optional[int] = ..., home: _Optional[bool] = ...) -> None: ...

class PeerServeToolRequest(_message.Message):
    __slots__ = ("invocation", "payload", "more")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    invocation: PeerInvocation
    payload: bytes
    more: bool
    def __init__(self, invocation: _Optional[_Union[PeerInvocation, _Mapping]] = ..., payload: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class PeerInvocation(_message.Message):
    __slots__ = ("id", "tool", "session", "epoch", "metadata", "ancestors")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    id: str
    tool: str
    session: str
    epoch: int
    metadata: _containers.ScalarMap[str, str]
    ancestors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., tool: _Optional[str] = ..., session: _Optional[str] = ..., epoch: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., ancestors: _Optional[_Iterable[str]] = ...) -> None: ...

class PeerServeToolResponse(_message.Message):
    __slots__ = ("payload", "more")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    more: bool
    def __init__(self, payload: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class PeerCloseSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class PeerCloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerHandOverRequest(_message.Message):
    __slots__ = ("saved", "payload", "more")
    SAVED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    saved: PeerSaved
    payload: bytes
    more: bool
    def __init__(self, saved: _Optional[_Union[PeerSaved, _Mapping]] = ..., payload: _Optional[bytes] = ..., more: _Optional[bool] = ...) -> None: ...

class PeerSaved(_message.Message):
    __slots__ = ("session", "epoch")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class PeerHandOverResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerMoveSessionRequest(_message.Message):
    __slots__ = ("session", "node", "incarnation")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    session: str
    node: str
    incarnation: int
    def __init__(self, session: _Optional[str] = ..., node: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class PeerMoveSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerRoomRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerRoomResponse(_message.Message):
    __slots__ = ("pools",)
    class PoolsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.ScalarMap[str, int]
    def __init__(self, pools: _Optional[_Mapping[str, int]] = ...) -> None: ...
