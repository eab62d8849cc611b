import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from snakepit.v1 import error_pb2 as _error_pb2
from snakepit.v1 import lane_pb2 as _lane_pb2
from snakepit.v1 import worker_pb2 as _worker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Invocation(_message.Message):
    __slots__ = ("tool", "pool", "session", "must_exist", "idempotent", "content_type", "metadata", "caller", "priority", "affinity", "concurrent", "availability")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOOL_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MUST_EXIST_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    tool: str
    pool: str
    session: str
    must_exist: bool
    idempotent: bool
    content_type: str
    metadata: _containers.ScalarMap[str, str]
    caller: str
    priority: int
    affinity: str
    concurrent: bool
    availability: str
    def __init__(self, tool: _Optional[str] = ..., pool: _Optional[str] = ..., session: _Optional[str] = ..., must_exist: _Optional[bool] = ..., idempotent: _Optional[bool] = ..., content_type: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., caller: _Optional[str] = ..., priority: _Optional[int] = ..., affinity: _Optional[str] = ..., concurrent: _Optional[bool] = ..., availability: _Optional[str] = ...) -> None: ...

class HostCallRequest(_message.Message):
    __slots__ = ("invocation", "payload")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    invocation: Invocation
    payload: bytes
    def __init__(self, invocation: _Optional[_Union[Invocation, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class HostCallResponse(_message.Message):
    __slots__ = ("payload", "call_id", "worker")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    call_id: str
    worker: str
    def __init__(self, payload: _Optional[bytes] = ..., call_id: _Optional[str] = ..., worker: _Optional[str] = ...) -> None: ...

class HostStreamRequest(_message.Message):
    __slots__ = ("open", "chunk")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    open: HostStreamOpen
    chunk: bytes
    def __init__(self, open: _Optional[_Union[HostStreamOpen, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class HostStreamOpen(_message.Message):
    __slots__ = ("invocation", "payload", "input", "gather")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    GATHER_FIELD_NUMBER: _ClassVar[int]
    invocation: Invocation
    payload: bytes
    input: bool
    gather: bool
    def __init__(self, invocation: _Optional[_Union[Invocation, _Mapping]] = ..., payload: _Optional[bytes] = ..., input: _Optional[bool] = ..., gather: _Optional[bool] = ...) -> None: ...

class HostStreamResponse(_message.Message):
    __slots__ = ("chunk", "progress", "result")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    progress: _lane_pb2.Progress
    result: bytes
    def __init__(self, chunk: _Optional[bytes] = ..., progress: _Optional[_Union[_lane_pb2.Progress, _Mapping]] = ..., result: _Optional[bytes] = ...) -> None: ...

class ServeRequest(_message.Message):
    __slots__ = ("offer", "result")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    offer: HostTool
    result: ServeResult
    def __init__(self, offer: _Optional[_Union[HostTool, _Mapping]] = ..., result: _Optional[_Union[ServeResult, _Mapping]] = ...) -> None: ...

class HostTool(_message.Message):
    __slots__ = ("tool", "exposed")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    tool: _worker_pb2.Tool
    exposed: bool
    def __init__(self, tool: _Optional[_Union[_worker_pb2.Tool, _Mapping]] = ..., exposed: _Optional[bool] = ...) -> None: ...

class ServeResult(_message.Message):
    __slots__ = ("id", "payload", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    payload: bytes
    error: _error_pb2.Error
    def __init__(self, id: _Optional[int] = ..., payload: _Optional[bytes] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class ServeResponse(_message.Message):
    __slots__ = ("call", "cancel", "offered", "refused")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    call: ServeCall
    cancel: int
    offered: str
    refused: OfferRefused
    def __init__(self, call: _Optional[_Union[ServeCall, _Mapping]] = ..., cancel: _Optional[int] = ..., offered: _Optional[str] = ..., refused: _Optional[_Union[OfferRefused, _Mapping]] = ...) -> None: ...

class OfferRefused(_message.Message):
    __slots__ = ("name", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    error: _error_pb2.Error
    def __init__(self, name: _Optional[str] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class ServeCall(_message.Message):
    __slots__ = ("id", "tool", "payload", "timeout_us", "session")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    id: int
    tool: str
    payload: bytes
    timeout_us: int
    session: str
    def __init__(self, id: _Optional[int] = ..., tool: _Optional[str] = ..., payload: _Optional[bytes] = ..., timeout_us: _Optional[int] = ..., session: _Optional[str] = ...) -> None: ...

class HostPingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HostPingResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("node", "pid", "version", "state", "started_at", "pools", "session_count", "data_dir", "refused")
    class RefusedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    SESSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_DIR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    node: str
    pid: int
    version: str
    state: str
    started_at: _timestamp_pb2.Timestamp
    pools: _containers.RepeatedCompositeFieldContainer[PoolStatus]
    session_count: int
    data_dir: str
    refused: _containers.ScalarMap[str, int]
    def __init__(self, node: _Optional[str] = ..., pid: _Optional[int] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pools: _Optional[_Iterable[_Union[PoolStatus, _Mapping]]] = ..., session_count: _Optional[int] = ..., data_dir: _Optional[str] = ..., refused: _Optional[_Mapping[str, int]] = ...) -> None: ...

class PoolStatus(_message.Message):
    __slots__ = ("name", "adapter", "size", "ready", "busy", "slots", "queued", "calls", "errors", "replaced", "last_start_error", "received", "ok", "open", "rejected", "retried", "queue_time", "run_time", "bytes_in", "bytes_out", "min_size", "max_size", "starting", "draining", "breaker", "recycled", "events", "overrides")
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RecycledEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class OverridesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    LAST_START_ERROR_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_TIME_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    RECYCLED_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    name: str
    adapter: str
    size: int
    ready: int
    busy: int
    slots: int
    queued: int
    calls: int
    errors: _containers.ScalarMap[str, int]
    replaced: int
    last_start_error: str
    received: int
    ok: int
    open: int
    rejected: int
    retried: int
    queue_time: Histogram
    run_time: Histogram
    bytes_in: int
    bytes_out: int
    min_size: int
    max_size: int
    starting: int
    draining: int
    breaker: Breaker
    recycled: _containers.ScalarMap[str, int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    overrides: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., adapter: _Optional[str] = ..., size: _Optional[int] = ..., ready: _Optional[int] = ..., busy: _Optional[int] = ..., slots: _Optional[int] = ..., queued: _Optional[int] = ..., calls: _Optional[int] = ..., errors: _Optional[_Mapping[str, int]] = ..., replaced: _Optional[int] = ..., last_start_error: _Optional[str] = ..., received: _Optional[int] = ..., ok: _Optional[int] = ..., open: _Optional[int] = ..., rejected: _Optional[int] = ..., retried: _Optional[int] = ..., queue_time: _Optional[_Union[Histogram, _Mapping]] = ..., run_time: _Optional[_Union[Histogram, _Mapping]] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., min_size: _Optional[int] = ..., max_size: _Optional[int] = ..., starting: _Optional[int] = ..., draining: _Optional[int] = ..., breaker: _Optional[_Union[Breaker, _Mapping]] = ..., recycled: _Optional[_Mapping[str, int]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., overrides: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("count", "sum_us", "p50_us", "p90_us", "p99_us", "max_us", "buckets")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_US_FIELD_NUMBER: _ClassVar[int]
    P50_US_FIELD_NUMBER: _ClassVar[int]
    P90_US_FIELD_NUMBER: _ClassVar[int]
    P99_US_FIELD_NUMBER: _ClassVar[int]
    MAX_US_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    count: int
    sum_us: int
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    buckets: _containers.RepeatedCompositeFieldContainer[HistogramBucket]
    def __init__(self, count: _Optional[int] = ..., sum_us: _Optional[int] = ..., p50_us: _Optional[int] = ..., p90_us: _Optional[int] = ..., p99_us: _Optional[int] = ..., max_us: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[HistogramBucket, _Mapping]]] = ...) -> None: ...

class HistogramBucket(_message.Message):
    __slots__ = ("from_us", "below_us", "count")
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    BELOW_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    from_us: int
    below_us: int
    count: int
    def __init__(self, from_us: _Optional[int] = ..., below_us: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Breaker(_message.Message):
    __slots__ = ("state", "failures", "retry_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    RETRY_AT_FIELD_NUMBER: _ClassVar[int]
    state: str
    failures: int
    retry_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[str] = ..., failures: _Optional[int] = ..., retry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind", "at", "worker", "reason", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    at: _timestamp_pb2.Timestamp
    worker: str
    reason: str
    detail: str
    def __init__(self, kind: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListToolsRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class ListToolsResponse(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[OfferedTool]
    def __init__(self, tools: _Optional[_Iterable[_Union[OfferedTool, _Mapping]]] = ...) -> None: ...

class OfferedTool(_message.Message):
    __slots__ = ("tool", "pool", "exposed")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    tool: _worker_pb2.Tool
    pool: str
    exposed: bool
    def __init__(self, tool: _Optional[_Union[_worker_pb2.Tool, _Mapping]] = ..., pool: _Optional[str] = ..., exposed: _Optional[bool] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerStatus]
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerStatus, _Mapping]]] = ...) -> None: ...

class WorkerStatus(_message.Message):
    __slots__ = ("id", "pool", "node", "pid", "state", "slots", "busy", "calls", "session_count", "rss_bytes", "started_at", "errors", "last_error", "run_time_us", "devices")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    SESSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    RUN_TIME_US_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    node: str
    pid: int
    state: str
    slots: int
    busy: int
    calls: int
    session_count: int
    rss_bytes: int
    started_at: _timestamp_pb2.Timestamp
    errors: int
    last_error: str
    run_time_us: int
    devices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., node: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[str] = ..., slots: _Optional[int] = ..., busy: _Optional[int] = ..., calls: _Optional[int] = ..., session_count: _Optional[int] = ..., rss_bytes: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., errors: _Optional[int] = ..., last_error: _Optional[str] = ..., run_time_us: _Optional[int] = ..., devices: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionStatus]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionStatus, _Mapping]]] = ...) -> None: ...

class SessionStatus(_message.Message):
    __slots__ = ("id", "pool", "node", "worker", "epoch", "expires_at", "opened_at", "away")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    node: str
    worker: str
    epoch: int
    expires_at: _timestamp_pb2.Timestamp
    opened_at: _timestamp_pb2.Timestamp
    away: bool
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., node: _Optional[str] = ..., worker: _Optional[str] = ..., epoch: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., away: _Optional[bool] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpgradeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpgradeResponse(_message.Message):
    __slots__ = ("pid",)
    PID_FIELD_NUMBER: _ClassVar[int]
    pid: int
    def __init__(self, pid: _Optional[int] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("pool", "total", "replaced", "worker")
    POOL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    pool: str
    total: int
    replaced: int
    worker: str
    def __init__(self, pool: _Optional[str] = ..., total: _Optional[int] = ..., replaced: _Optional[int] = ..., worker: _Optional[str] = ...) -> None: ...

class DrainWorkerRequest(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class DrainWorkerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class KillWorkerRequest(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class KillWorkerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadConfigResponse(_message.Message):
    __slots__ = ("changes", "warnings", "failures")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ConfigChange]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    failures: _containers.RepeatedCompositeFieldContainer[_error_pb2.Error]
    def __init__(self, changes: _Optional[_Iterable[_Union[ConfigChange, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., failures: _Optional[_Iterable[_Union[_error_pb2.Error, _Mapping]]] = ...) -> None: ...

class ConfigChange(_message.Message):
    __slots__ = ("pool", "knob", "old", "new", "effect")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KNOB_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    pool: str
    knob: str
    old: str
    new: str
    effect: str
    def __init__(self, pool: _Optional[str] = ..., knob: _Optional[str] = ..., old: _Optional[str] = ..., new: _Optional[str] = ..., effect: _Optional[str] = ...) -> None: ...

class SetPoolOverridesRequest(_message.Message):
    __slots__ = ("pool", "knobs")
    class KnobsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POOL_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    knobs: _containers.ScalarMap[str, str]
    def __init__(self, pool: _Optional[str] = ..., knobs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SetPoolOverridesResponse(_message.Message):
    __slots__ = ("knobs", "warnings")
    class KnobsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    knobs: _containers.ScalarMap[str, str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, knobs: _Optional[_Mapping[str, str]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class UnsetPoolOverridesRequest(_message.Message):
    __slots__ = ("pool", "knobs")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    knobs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool: _Optional[str] = ..., knobs: _Optional[_Iterable[str]] = ...) -> None: ...

class UnsetPoolOverridesResponse(_message.Message):
    __slots__ = ("knobs",)
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    knobs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, knobs: _Optional[_Iterable[str]] = ...) -> None: ...

class ListPoolOverridesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoolOverridesResponse(_message.Message):
    __slots__ = ("overrides",)
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    overrides: _containers.RepeatedCompositeFieldContainer[PoolOverride]
    def __init__(self, overrides: _Optional[_Iterable[_Union[PoolOverride, _Mapping]]] = ...) -> None: ...

class PoolOverride(_message.Message):
    __slots__ = ("pool", "knob", "value", "own", "own_from", "holds", "note")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KNOB_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    OWN_FROM_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    knob: str
    value: str
    own: str
    own_from: str
    holds: bool
    note: str
    def __init__(self, pool: _Optional[str] = ..., knob: _Optional[str] = ..., value: _Optional[str] = ..., own: _Optional[str] = ..., own_from: _Optional[str] = ..., holds: _Optional[bool] = ..., note: _Optional[str] = ...) -> None: ...
