import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from snakepit.v1 import registry_pb2 as _registry_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeAddress(_message.Message):
    __slots__ = ("id", "address")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class IntroduceRequest(_message.Message):
    __slots__ = ("self", "cluster")
    SELF_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    self: NodeAddress
    cluster: str
    def __init__(self_, self: _Optional[_Union[NodeAddress, _Mapping]] = ..., cluster: _Optional[str] = ...) -> None: ...

class IntroduceResponse(_message.Message):
    __slots__ = ("known",)
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    known: _containers.RepeatedCompositeFieldContainer[NodeAddress]
    def __init__(self, known: _Optional[_Iterable[_Union[NodeAddress, _Mapping]]] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("node", "token", "cluster", "passed_on", "succeeds")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PASSED_ON_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDS_FIELD_NUMBER: _ClassVar[int]
    node: _registry_pb2.NodeRecord
    token: str
    cluster: str
    passed_on: bool
    succeeds: str
    def __init__(self, node: _Optional[_Union[_registry_pb2.NodeRecord, _Mapping]] = ..., token: _Optional[str] = ..., cluster: _Optional[str] = ..., passed_on: _Optional[bool] = ..., succeeds: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("cluster", "incarnation")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    incarnation: int
    def __init__(self, cluster: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class PoolRoom(_message.Message):
    __slots__ = ("name", "room")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    name: str
    room: int
    def __init__(self, name: _Optional[str] = ..., room: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("id", "incarnation", "nonce", "pools", "applied", "release", "draining", "rehome_after")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    REHOME_AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    nonce: str
    pools: _containers.RepeatedCompositeFieldContainer[PoolRoom]
    applied: int
    release: bool
    draining: bool
    rehome_after: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., nonce: _Optional[str] = ..., pools: _Optional[_Iterable[_Union[PoolRoom, _Mapping]]] = ..., applied: _Optional[int] = ..., release: _Optional[bool] = ..., draining: _Optional[bool] = ..., rehome_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("alone",)
    ALONE_FIELD_NUMBER: _ClassVar[int]
    alone: bool
    def __init__(self, alone: _Optional[bool] = ...) -> None: ...

class ProposeRequest(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: bytes
    def __init__(self, entry: _Optional[bytes] = ...) -> None: ...

class ProposeResponse(_message.Message):
    __slots__ = ("outcomes", "index")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[_registry_pb2.RegistryOutcome]
    index: int
    def __init__(self, outcomes: _Optional[_Iterable[_Union[_registry_pb2.RegistryOutcome, _Mapping]]] = ..., index: _Optional[int] = ...) -> None: ...

class ReadIndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadIndexResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("id", "passed_on")
    ID_FIELD_NUMBER: _ClassVar[int]
    PASSED_ON_FIELD_NUMBER: _ClassVar[int]
    id: str
    passed_on: bool
    def __init__(self, id: _Optional[str] = ..., passed_on: _Optional[bool] = ...) -> None: ...

class RemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransferRequest(_message.Message):
    __slots__ = ("id", "passed_on")
    ID_FIELD_NUMBER: _ClassVar[int]
    PASSED_ON_FIELD_NUMBER: _ClassVar[int]
    id: str
    passed_on: bool
    def __init__(self, id: _Optional[str] = ..., passed_on: _Optional[bool] = ...) -> None: ...

class TransferResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PlaceRequest(_message.Message):
    __slots__ = ("id", "pool", "sessions")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    sessions: int
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., sessions: _Optional[int] = ...) -> None: ...

class PlaceResponse(_message.Message):
    __slots__ = ("places",)
    PLACES_FIELD_NUMBER: _ClassVar[int]
    places: _containers.RepeatedCompositeFieldContainer[NodePlace]
    def __init__(self, places: _Optional[_Iterable[_Union[NodePlace, _Mapping]]] = ...) -> None: ...

class NodePlace(_message.Message):
    __slots__ = ("id", "incarnation", "sessions")
    ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    incarnation: int
    sessions: int
    def __init__(self, id: _Optional[str] = ..., incarnation: _Optional[int] = ..., sessions: _Optional[int] = ...) -> None: ...
