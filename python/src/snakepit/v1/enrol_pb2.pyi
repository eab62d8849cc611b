from snakepit.v1 import node_pb2 as _node_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("node", "token", "certificate_request")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    node: str
    token: str
    certificate_request: bytes
    def __init__(self, node: _Optional[str] = ..., token: _Optional[str] = ..., certificate_request: _Optional[bytes] = ...) -> None: ...

class EnrolResponse(_message.Message):
    __slots__ = ("certificate", "authority", "members")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    authority: bytes
    members: _containers.RepeatedCompositeFieldContainer[_node_pb2.NodeAddress]
    def __init__(self, certificate: _Optional[bytes] = ..., authority: _Optional[bytes] = ..., members: _Optional[_Iterable[_Union[_node_pb2.NodeAddress, _Mapping]]] = ...) -> None: ...
