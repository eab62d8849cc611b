from snakepit.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClusterStatusRequest(_message.Message):
    __slots__ = ("here_only",)
    HERE_ONLY_FIELD_NUMBER: _ClassVar[int]
    here_only: bool
    def __init__(self, here_only: _Optional[bool] = ...) -> None: ...

class ClusterStatusResponse(_message.Message):
    __slots__ = ("cluster", "node", "leader", "term", "last", "commit", "applied", "level", "tokens", "lease", "nodes", "state", "summary", "warnings", "advice", "generation")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    leader: str
    term: int
    last: int
    commit: int
    applied: int
    level: int
    tokens: int
    lease: ClusterLease
    nodes: _containers.RepeatedCompositeFieldContainer[ClusterNode]
    state: str
    summary: str
    warnings: _containers.RepeatedCompositeFieldContainer[ClusterWarning]
    advice: str
    generation: int
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., leader: _Optional[str] = ..., term: _Optional[int] = ..., last: _Optional[int] = ..., commit: _Optional[int] = ..., applied: _Optional[int] = ..., level: _Optional[int] = ..., tokens: _Optional[int] = ..., lease: _Optional[_Union[ClusterLease, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[ClusterNode, _Mapping]]] = ..., state: _Optional[str] = ..., summary: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[ClusterWarning, _Mapping]]] = ..., advice: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class ClusterLease(_message.Message):
    __slots__ = ("held", "endless", "left_us")
    HELD_FIELD_NUMBER: _ClassVar[int]
    ENDLESS_FIELD_NUMBER: _ClassVar[int]
    LEFT_US_FIELD_NUMBER: _ClassVar[int]
    held: bool
    endless: bool
    left_us: int
    def __init__(self, held: _Optional[bool] = ..., endless: _Optional[bool] = ..., left_us: _Optional[int] = ...) -> None: ...

class ClusterNode(_message.Message):
    __slots__ = ("id", "name", "address", "api_address", "status", "member", "voter", "leader", "incarnation", "sessions", "answers", "applied", "renewed_us", "version", "rules", "machine", "unverified", "disk", "lease_held")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    API_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    RENEWED_US_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    LEASE_HELD_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    address: str
    api_address: str
    status: str
    member: bool
    voter: bool
    leader: bool
    incarnation: int
    sessions: int
    answers: bool
    applied: int
    renewed_us: int
    version: str
    rules: int
    machine: str
    unverified: int
    disk: ClusterDisk
    lease_held: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., api_address: _Optional[str] = ..., status: _Optional[str] = ..., member: _Optional[bool] = ..., voter: _Optional[bool] = ..., leader: _Optional[bool] = ..., incarnation: _Optional[int] = ..., sessions: _Optional[int] = ..., answers: _Optional[bool] = ..., applied: _Optional[int] = ..., renewed_us: _Optional[int] = ..., version: _Optional[str] = ..., rules: _Optional[int] = ..., machine: _Optional[str] = ..., unverified: _Optional[int] = ..., disk: _Optional[_Union[ClusterDisk, _Mapping]] = ..., lease_held: _Optional[bool] = ...) -> None: ...

class ClusterDisk(_message.Message):
    __slots__ = ("free_bytes", "size_bytes", "write_us")
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITE_US_FIELD_NUMBER: _ClassVar[int]
    free_bytes: int
    size_bytes: int
    write_us: int
    def __init__(self, free_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ..., write_us: _Optional[int] = ...) -> None: ...

class ClusterWarning(_message.Message):
    __slots__ = ("kind", "node", "text", "hint")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    node: str
    text: str
    hint: str
    def __init__(self, kind: _Optional[str] = ..., node: _Optional[str] = ..., text: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class ClusterNewTokenRequest(_message.Message):
    __slots__ = ("uses", "label")
    USES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    uses: int
    label: str
    def __init__(self, uses: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class ClusterNewTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ClusterLeaveRequest(_message.Message):
    __slots__ = ("force",)
    FORCE_FIELD_NUMBER: _ClassVar[int]
    force: bool
    def __init__(self, force: _Optional[bool] = ...) -> None: ...

class ClusterLeaveResponse(_message.Message):
    __slots__ = ("step", "sessions")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    step: str
    sessions: int
    def __init__(self, step: _Optional[str] = ..., sessions: _Optional[int] = ...) -> None: ...

class ClusterRemoveRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ClusterRemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterForgetRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ClusterForgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterTransferRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ClusterTransferResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterBackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterBackupResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ClusterMoveSessionRequest(_message.Message):
    __slots__ = ("session", "node")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    session: str
    node: str
    def __init__(self, session: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class ClusterMoveSessionResponse(_message.Message):
    __slots__ = ()
    FROM_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class ClusterRebalanceRequest(_message.Message):
    __slots__ = ("pool", "dry_run", "wait_us")
    POOL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    WAIT_US_FIELD_NUMBER: _ClassVar[int]
    pool: str
    dry_run: bool
    wait_us: int
    def __init__(self, pool: _Optional[str] = ..., dry_run: _Optional[bool] = ..., wait_us: _Optional[int] = ...) -> None: ...

class ClusterRebalanceResponse(_message.Message):
    __slots__ = ("plan", "shift")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    plan: ClusterBalance
    shift: ClusterShift
    def __init__(self, plan: _Optional[_Union[ClusterBalance, _Mapping]] = ..., shift: _Optional[_Union[ClusterShift, _Mapping]] = ...) -> None: ...

class ClusterBalance(_message.Message):
    __slots__ = ("moves", "kept", "left_out")
    MOVES_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    moves: int
    kept: _containers.RepeatedCompositeFieldContainer[ClusterKept]
    left_out: _containers.RepeatedCompositeFieldContainer[ClusterLeftOut]
    def __init__(self, moves: _Optional[int] = ..., kept: _Optional[_Iterable[_Union[ClusterKept, _Mapping]]] = ..., left_out: _Optional[_Iterable[_Union[ClusterLeftOut, _Mapping]]] = ...) -> None: ...

class ClusterKept(_message.Message):
    __slots__ = ("pool", "node", "sessions", "no_room")
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NO_ROOM_FIELD_NUMBER: _ClassVar[int]
    pool: str
    node: str
    sessions: int
    no_room: bool
    def __init__(self, pool: _Optional[str] = ..., node: _Optional[str] = ..., sessions: _Optional[int] = ..., no_room: _Optional[bool] = ...) -> None: ...

class ClusterLeftOut(_message.Message):
    __slots__ = ("node", "why")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    node: str
    why: str
    def __init__(self, node: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ClusterShift(_message.Message):
    __slots__ = ("session", "pool", "to", "error")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    session: str
    pool: str
    to: str
    error: _error_pb2.Error
    def __init__(self, session: _Optional[str] = ..., pool: _Optional[str] = ..., to: _Optional[str] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ..., **kwargs) -> None: ...
