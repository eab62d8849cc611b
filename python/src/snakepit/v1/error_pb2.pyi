from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Error(_message.Message):
    __slots__ = ("reason", "message", "may_have_run", "path", "hint", "where", "exception", "exit", "retry_after_us")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MAY_HAVE_RUN_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    may_have_run: bool
    path: str
    hint: str
    where: Where
    exception: Exception
    exit: Exit
    retry_after_us: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., may_have_run: _Optional[bool] = ..., path: _Optional[str] = ..., hint: _Optional[str] = ..., where: _Optional[_Union[Where, _Mapping]] = ..., exception: _Optional[_Union[Exception, _Mapping]] = ..., exit: _Optional[_Union[Exit, _Mapping]] = ..., retry_after_us: _Optional[int] = ..., **kwargs) -> None: ...

class Where(_message.Message):
    __slots__ = ("node", "pool", "worker", "session", "tool", "call")
    NODE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    node: str
    pool: str
    worker: str
    session: str
    tool: str
    call: str
    def __init__(self, node: _Optional[str] = ..., pool: _Optional[str] = ..., worker: _Optional[str] = ..., session: _Optional[str] = ..., tool: _Optional[str] = ..., call: _Optional[str] = ...) -> None: ...

class Exception(_message.Message):
    __slots__ = ("type", "bases", "message", "traceback", "notes")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    type: str
    bases: _containers.RepeatedScalarFieldContainer[str]
    message: str
    traceback: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[str] = ..., bases: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ..., traceback: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Exit(_message.Message):
    __slots__ = ("code", "signal", "stderr")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    code: int
    signal: str
    stderr: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, code: _Optional[int] = ..., signal: _Optional[str] = ..., stderr: _Optional[_Iterable[str]] = ...) -> None: ...
