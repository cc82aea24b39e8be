"""A pickle read as data, never run.

A pickle is a program for a stack machine, and Python's own machine will import and call whatever
the program names. `torch.save` needs only a fraction of it: numbers, strings, containers, and a
handful of names. So here is a machine with those opcodes and no others. It cannot import. A name
gives what the caller's allow-list holds for it or an error; a call can only reach what came from
that list. Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from minicore.errors import BackboneError, quoted

PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}
MOST_ARGUMENTS = 8  # the longest call, of torch's _rebuild_tensor_v2, has seven


def read_pickle(
    stream: BytesIO,
    names: Mapping[str, Any],
    persistent_load: Callable[[Any], Any],
) -> Any:
    """Read one pickle and leave the stream after it.

    Every value costs at least one byte of the pickle and is built without recursion, and no step
    goes through the same values again. So memory stays under about 200 bytes a byte read, and time
    in proportion, whatever the pickle says.

    Parameters
    ----------
    stream : BytesIO
        The pickle, of protocol 2 to 5; more may follow it.
    names : mapping of str to object
        What "module name" stands for; the callables among them are what the pickle may call.
    persistent_load : callable
        Takes a persistent id, gives the object that it stands for.

    Returns
    -------
    object
        What the pickle describes, made of numbers, strings, containers and what `names` gave.

    Raises
    ------
    BackboneError
        If the pickle is damaged, or asks for anything not allowed. Nothing has been run.
    """
    try:
        return _interpret(stream, names, persistent_load)
    except (ValueError, TypeError, LookupError, OverflowError, DeprecationWarning) as error:
        if isinstance(error, BackboneError):  # which is a ValueError
            raise
        raise BackboneError(f"its pickle is damaged ({quoted(str(error))})") from error


def _interpret(
    stream: BytesIO, names: Mapping[str, Any], persistent_load: Callable[[Any], Any]
) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop_to_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    for opcode, argument, _ in pickletools.genops(stream):
        op = opcode.name
        if op in PUSHED:
            stack.append(argument)
        elif op in CONSTANTS:
            stack.append(CONSTANTS[op])
        elif op in CONTAINERS:
            stack.append(CONTAINERS[op]())
        elif op == "MARK":
            marks.append(len(stack))
        elif op in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif op == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif op in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif op == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif op in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[op])]
            stack.append(tuple(reversed(items)))
        elif op in ("APPEND", "APPENDS"):
            items = [stack.pop()] if op == "APPEND" else pop_to_mark()
            _expect(stack[-1], list).extend(items)
        elif op in ("SETITEM", "SETITEMS"):
            items = [stack.pop(), stack.pop()][::-1] if op == "SETITEM" else pop_to_mark()
            _set_items(_expect(stack[-1], dict), items)
        elif op == "GLOBAL":
            stack.append(_named(names, str(argument)))
        elif op == "STACK_GLOBAL":
            name, module = _expect(stack.pop(), str), _expect(stack.pop(), str)
            stack.append(_named(names, f"{module} {name}"))
        elif op == "REDUCE":
            arguments, function = _few(stack.pop()), stack.pop()
            stack.append(function(*arguments))
        elif op == "BINPERSID":
            stack.append(persistent_load(_few(stack.pop())))
        elif op == "BUILD":  # the attributes of an OrderedDict: torch keeps versions there
            stack.pop()
            _expect(stack[-1], dict)
        elif op == "STOP":
            return stack.pop()
        elif op not in IGNORED:
            raise BackboneError(f"its pickle uses {op}, which no weights need; nothing was run")
    raise ValueError("no end")


def _named(names: Mapping[str, Any], name: str) -> Any:
    if name not in names:
        raise BackboneError(
            f"its pickle names {quoted(name)}, which no weights need; nothing was run"
        )
    return names[name]


def ordered_dict(pairs: list[Any] | None = None) -> dict[Any, Any]:
    """Stand for `collections.OrderedDict`; Python 2 wrote it as a call with a list of pairs."""
    target: dict[Any, Any] = {}
    if pairs is not None:
        items = [item for key, value in _expect(pairs, list) for item in (key, value)]
        pairs.clear()  # moved, not copied: a list of a million must not be called a million times
        _set_items(target, items)
    return target


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    """Set key, value, key, value, ….

    Keys are strings or 32-bit integers. A tuple could nest itself into a hash that takes forever,
    and large integers can all be made to collide.
    """
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not (isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**31)):
            raise TypeError(f"a key of type {type(key).__name__}")
        target[key] = value


def _few(arguments: Any) -> tuple[Any, ...]:
    """Take a call's arguments. Many, remembered, could be passed on a million times at no cost."""
    if len(_expect(arguments, tuple)) > MOST_ARGUMENTS:
        raise TypeError(f"{len(arguments)} arguments")
    return arguments


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is due")
    return value
