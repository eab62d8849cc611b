import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from snakepit.v1 import host_pb2 as _host_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATUS_UNSPECIFIED: _ClassVar[NodeStatus]
    NODE_STATUS_UP: _ClassVar[NodeStatus]
    NODE_STATUS_DRAINING: _ClassVar[NodeStatus]
    NODE_STATUS_DOWN: _ClassVar[NodeStatus]
    NODE_STATUS_LEFT: _ClassVar[NodeStatus]
    NODE_STATUS_PAUSING: _ClassVar[NodeStatus]
NODE_STATUS_UNSPECIFIED: NodeStatus
NODE_STATUS_UP: NodeStatus
NODE_STATUS_DRAINING: NodeStatus
NODE_STATUS_DOWN: NodeStatus
NODE_STATUS_LEFT: NodeStatus
NODE_STATUS_PAUSING: NodeStatus

class RegistryEntry(_message.Message):
    __slots__ = ("version", "origin", "answered", "commands")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    version: int
    origin: str
    answered: int
    commands: _containers.RepeatedCompositeFieldContainer[RegistryCommand]
    def __init__(self, version: _Optional[int] = ..., origin: _Optional[str] = ..., answered: _Optional[int] = ..., commands: _Optional[_Iterable[_Union[RegistryCommand, _Mapping]]] = ...) -> None: ...

class RegistryCommand(_message.Message):
    __slots__ = ("number", "open_session", "bind_session", "forget_session", "claim_process", "release_process", "raise_generation", "register_node", "set_node_status", "forget_node", "set_feature_level", "rehome", "move_session", "set_state", "pause_node", "set_rehome_after", "store_tools", "offer_tools", "add_token", "drop_token", "spend_token", "set_pool_override")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OPEN_SESSION_FIELD_NUMBER: _ClassVar[int]
    BIND_SESSION_FIELD_NUMBER: _ClassVar[int]
    FORGET_SESSION_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROCESS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_PROCESS_FIELD_NUMBER: _ClassVar[int]
    RAISE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REGISTER_NODE_FIELD_NUMBER: _ClassVar[int]
    SET_NODE_STATUS_FIELD_NUMBER: _ClassVar[int]
    FORGET_NODE_FIELD_NUMBER: _ClassVar[int]
    SET_FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    REHOME_FIELD_NUMBER: _ClassVar[int]
    MOVE_SESSION_FIELD_NUMBER: _ClassVar[int]
    SET_STATE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_NODE_FIELD_NUMBER: _ClassVar[int]
    SET_REHOME_AFTER_FIELD_NUMBER: _ClassVar[int]
    STORE_TOOLS_FIELD_NUMBER: _ClassVar[int]
    OFFER_TOOLS_FIELD_NUMBER: _ClassVar[int]
    ADD_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DROP_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SPEND_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SET_POOL_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    number: int
    open_session: OpenSession
    bind_session: BindSession
    forget_session: ForgetSession
    claim_process: ClaimProcess
    release_process: ReleaseProcess
    raise_generation: RaiseGeneration
    register_node: RegisterNode
    set_node_status: SetNodeStatus
    forget_node: ForgetNode
    set_feature_level: SetFeatureLevel
    rehome: Rehome
    move_session: MoveSession
    set_state: SetState
    pause_node: PauseNode
    set_rehome_after: SetRehomeAfter
    store_tools: StoreTools
    offer_tools: OfferTools
    add_token: AddToken
    drop_token: DropToken
    spend_token: SpendToken
    set_pool_override: SetPoolOverride
    def __init__(self, number: _Optional[int] = ..., open_session: _Optional[_Union[OpenSession, _Mapping]] = ..., bind_session: _Optional[_Union[BindSession, _Mapping]] = ..., forget_session: _Optional[_Union[ForgetSession, _Mapping]] = ..., claim_process: _Optional[_Union[ClaimProcess, _Mapping]] = ..., release_process: _Optional[_Union[ReleaseProcess, _Mapping]] = ..., raise_generation: _Optional[_Union[RaiseGeneration, _Mapping]] = ..., register_node: _Optional[_Union[RegisterNode, _Mapping]] = ..., set_node_status: _Optional[_Union[SetNodeStatus, _Mapping]] = ..., forget_node: _Optional[_Union[ForgetNode, _Mapping]] = ..., set_feature_level: _Optional[_Union[SetFeatureLevel, _Mapping]] = ..., rehome: _Optional[_Union[Rehome, _Mapping]] = ..., move_session: _Optional[_Union[MoveSession, _Mapping]] = ..., set_state: _Optional[_Union[SetState, _Mapping]] = ..., pause_node: _Optional[_Union[PauseNode, _Mapping]] = ..., set_rehome_after: _Optional[_Union[SetRehomeAfter, _Mapping]] = ..., store_tools: _Optional[_Union[StoreTools, _Mapping]] = ..., offer_tools: _Optional[_Union[OfferTools, _Mapping]] = ..., add_token: _Optional[_Union[AddToken, _Mapping]] = ..., drop_token: _Optional[_Union[DropToken, _Mapping]] = ..., spend_token: _Optional[_Union[SpendToken, _Mapping]] = ..., set_pool_override: _Optional[_Union[SetPoolOverride, _Mapping]] = ...) -> None: ...

class OpenSession(_message.Message):
    __slots__ = ("session", "limit")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    session: SessionRecord
    limit: int
    def __init__(self, session: _Optional[_Union[SessionRecord, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class BindSession(_message.Message):
    __slots__ = ("id", "home", "from_epoch")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    FROM_EPOCH_FIELD_NUMBER: _ClassVar[int]
    id: str
    home: str
    from_epoch: int
    def __init__(self, id: _Optional[str] = ..., home: _Optional[str] = ..., from_epoch: _Optional[int] = ...) -> None: ...

class ForgetSession(_message.Message):
    __slots__ = ("id", "expired", "from_epoch")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    FROM_EPOCH_FIELD_NUMBER: _ClassVar[int]
    id: str
    expired: bool
    from_epoch: int
    def __init__(self, id: _Optional[str] = ..., expired: _Optional[bool] = ..., from_epoch: _Optional[int] = ...) -> None: ...

class ClaimProcess(_message.Message):
    __slots__ = ("process",)
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    process: WorkerProcess
    def __init__(self, process: _Optional[_Union[WorkerProcess, _Mapping]] = ...) -> None: ...

class ReleaseProcess(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class RaiseGeneration(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class RegisterNode(_message.Message):
    __slots__ = ("node", "term")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    node: NodeRecord
    term: int
    def __init__(self, node: _Optional[_Union[NodeRecord, _Mapping]] = ..., term: _Optional[int] = ...) -> None: ...

class SetNodeStatus(_message.Message):
    __slots__ = ("id", "incarnation", "status", "term")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    status: NodeStatus
    term: int
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., status: _Optional[_Union[NodeStatus, str]] = ..., term: _Optional[int] = ...) -> None: ...

class ForgetNode(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SetFeatureLevel(_message.Message):
    __slots__ = ("level", "cluster", "term")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    level: int
    cluster: str
    term: int
    def __init__(self, level: _Optional[int] = ..., cluster: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class Rehome(_message.Message):
    __slots__ = ("moves", "term")
    MOVES_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    moves: _containers.RepeatedCompositeFieldContainer[MoveSession]
    term: int
    def __init__(self, moves: _Optional[_Iterable[_Union[MoveSession, _Mapping]]] = ..., term: _Optional[int] = ...) -> None: ...

class MoveSession(_message.Message):
    __slots__ = ("id", "from_epoch", "node", "incarnation")
    ID_FIELD_NUMBER: _ClassVar[int]
    FROM_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    from_epoch: int
    node: str
    incarnation: int
    def __init__(self, id: _Optional[str] = ..., from_epoch: _Optional[int] = ..., node: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class SetState(_message.Message):
    __slots__ = ("id", "epoch", "changes")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    changes: _containers.RepeatedCompositeFieldContainer[StateChange]
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[StateChange, _Mapping]]] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("key", "value", "expected")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    expected: int
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ..., expected: _Optional[int] = ...) -> None: ...

class PauseNode(_message.Message):
    __slots__ = ("id", "incarnation", "within")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    within: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SetRehomeAfter(_message.Message):
    __slots__ = ("id", "incarnation", "after", "term")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    after: _duration_pb2.Duration
    term: int
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., term: _Optional[int] = ...) -> None: ...

class StoreTools(_message.Message):
    __slots__ = ("id", "incarnation", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    content: bytes
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., content: _Optional[bytes] = ...) -> None: ...

class ToolSet(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[_host_pb2.OfferedTool]
    def __init__(self, tools: _Optional[_Iterable[_Union[_host_pb2.OfferedTool, _Mapping]]] = ...) -> None: ...

class OfferTools(_message.Message):
    __slots__ = ("id", "incarnation", "sets")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    sets: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., sets: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AddToken(_message.Message):
    __slots__ = ("hash", "uses", "label")
    HASH_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    uses: int
    label: str
    def __init__(self, hash: _Optional[bytes] = ..., uses: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class DropToken(_message.Message):
    __slots__ = ("hash", "added", "term")
    HASH_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    added: int
    term: int
    def __init__(self, hash: _Optional[bytes] = ..., added: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class SpendToken(_message.Message):
    __slots__ = ("hash", "node")
    HASH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    node: str
    def __init__(self, hash: _Optional[bytes] = ..., node: _Optional[str] = ...) -> None: ...

class SetPoolOverride(_message.Message):
    __slots__ = ("pool", "knobs", "former", "compare")
    class KnobsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FormerEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POOL_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    knobs: _containers.ScalarMap[str, str]
    former: _containers.ScalarMap[str, str]
    compare: bool
    def __init__(self, pool: _Optional[str] = ..., knobs: _Optional[_Mapping[str, str]] = ..., former: _Optional[_Mapping[str, str]] = ..., compare: _Optional[bool] = ...) -> None: ...

class StateEntry(_message.Message):
    __slots__ = ("key", "value", "version")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    version: int
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class NodeRecord(_message.Message):
    __slots__ = ("id", "name", "cluster_address", "api_address", "machine_id", "boot_id", "pid_namespace", "pid", "start_time", "incarnation", "nonce", "min_version", "max_version", "status", "rehome_after", "pause")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    API_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    PID_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REHOME_AFTER_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    cluster_address: str
    api_address: str
    machine_id: str
    boot_id: str
    pid_namespace: str
    pid: int
    start_time: int
    incarnation: int
    nonce: str
    min_version: int
    max_version: int
    status: NodeStatus
    rehome_after: _duration_pb2.Duration
    pause: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., cluster_address: _Optional[str] = ..., api_address: _Optional[str] = ..., machine_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., pid_namespace: _Optional[str] = ..., pid: _Optional[int] = ..., start_time: _Optional[int] = ..., incarnation: _Optional[int] = ..., nonce: _Optional[str] = ..., min_version: _Optional[int] = ..., max_version: _Optional[int] = ..., status: _Optional[_Union[NodeStatus, str]] = ..., rehome_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pause: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SessionRecord(_message.Message):
    __slots__ = ("id", "pool", "home", "epoch", "ttl", "metadata", "opened_at", "affinity", "concurrent", "owner", "owner_incarnation", "state", "availability")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNER_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    home: str
    epoch: int
    ttl: _duration_pb2.Duration
    metadata: _containers.ScalarMap[str, str]
    opened_at: _timestamp_pb2.Timestamp
    affinity: str
    concurrent: bool
    owner: str
    owner_incarnation: int
    state: _containers.RepeatedCompositeFieldContainer[StateEntry]
    availability: str
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., home: _Optional[str] = ..., epoch: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., affinity: _Optional[str] = ..., concurrent: _Optional[bool] = ..., owner: _Optional[str] = ..., owner_incarnation: _Optional[int] = ..., state: _Optional[_Iterable[_Union[StateEntry, _Mapping]]] = ..., availability: _Optional[str] = ...) -> None: ...

class WorkerProcess(_message.Message):
    __slots__ = ("worker", "pool", "node", "epoch", "pid", "start_time", "machine_id", "boot_id", "pid_namespace", "owner", "owner_incarnation")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    MACHINE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    PID_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNER_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    worker: str
    pool: str
    node: str
    epoch: int
    pid: int
    start_time: int
    machine_id: str
    boot_id: str
    pid_namespace: str
    owner: str
    owner_incarnation: int
    def __init__(self, worker: _Optional[str] = ..., pool: _Optional[str] = ..., node: _Optional[str] = ..., epoch: _Optional[int] = ..., pid: _Optional[int] = ..., start_time: _Optional[int] = ..., machine_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., pid_namespace: _Optional[str] = ..., owner: _Optional[str] = ..., owner_incarnation: _Optional[int] = ...) -> None: ...

class RegistryOutcome(_message.Message):
    __slots__ = ("reason", "message", "hint", "session", "process", "node", "version")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    hint: str
    session: SessionRecord
    process: WorkerProcess
    node: NodeRecord
    version: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., session: _Optional[_Union[SessionRecord, _Mapping]] = ..., process: _Optional[_Union[WorkerProcess, _Mapping]] = ..., node: _Optional[_Union[NodeRecord, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class RegistryRecord(_message.Message):
    __slots__ = ("header", "session", "process", "expired", "origin", "end", "node", "tools", "offer", "token", "override")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    header: SnapshotHeader
    session: SessionRecord
    process: WorkerProcess
    expired: str
    origin: SnapshotOrigin
    end: SnapshotEnd
    node: NodeRecord
    tools: bytes
    offer: SnapshotOffer
    token: SnapshotToken
    override: SetPoolOverride
    def __init__(self, header: _Optional[_Union[SnapshotHeader, _Mapping]] = ..., session: _Optional[_Union[SessionRecord, _Mapping]] = ..., process: _Optional[_Union[WorkerProcess, _Mapping]] = ..., expired: _Optional[str] = ..., origin: _Optional[_Union[SnapshotOrigin, _Mapping]] = ..., end: _Optional[_Union[SnapshotEnd, _Mapping]] = ..., node: _Optional[_Union[NodeRecord, _Mapping]] = ..., tools: _Optional[bytes] = ..., offer: _Optional[_Union[SnapshotOffer, _Mapping]] = ..., token: _Optional[_Union[SnapshotToken, _Mapping]] = ..., override: _Optional[_Union[SetPoolOverride, _Mapping]] = ...) -> None: ...

class SnapshotOffer(_message.Message):
    __slots__ = ("node", "sets", "stored")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    node: str
    sets: _containers.RepeatedScalarFieldContainer[bytes]
    stored: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, node: _Optional[str] = ..., sets: _Optional[_Iterable[bytes]] = ..., stored: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SnapshotToken(_message.Message):
    __slots__ = ("hash", "uses", "label", "spent", "added")
    HASH_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    uses: int
    label: str
    spent: _containers.RepeatedScalarFieldContainer[str]
    added: int
    def __init__(self, hash: _Optional[bytes] = ..., uses: _Optional[int] = ..., label: _Optional[str] = ..., spent: _Optional[_Iterable[str]] = ..., added: _Optional[int] = ...) -> None: ...

class SnapshotHeader(_message.Message):
    __slots__ = ("version", "generation", "index", "level", "cluster")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    version: int
    generation: int
    index: int
    level: int
    cluster: str
    def __init__(self, version: _Optional[int] = ..., generation: _Optional[int] = ..., index: _Optional[int] = ..., level: _Optional[int] = ..., cluster: _Optional[str] = ...) -> None: ...

class SnapshotOrigin(_message.Message):
    __slots__ = ("name", "index", "highest", "outcomes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    index: int
    highest: int
    outcomes: _containers.RepeatedCompositeFieldContainer[SnapshotOutcome]
    def __init__(self, name: _Optional[str] = ..., index: _Optional[int] = ..., highest: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[SnapshotOutcome, _Mapping]]] = ...) -> None: ...

class SnapshotOutcome(_message.Message):
    __slots__ = ("number", "outcome")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    number: int
    outcome: RegistryOutcome
    def __init__(self, number: _Optional[int] = ..., outcome: _Optional[_Union[RegistryOutcome, _Mapping]] = ...) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: int
    def __init__(self, records: _Optional[int] = ...) -> None: ...
