"""Read a pickle as data, without running it.

A pickle is a program for a stack machine. Python's own machine imports and calls everything that
the program names. `torch.save` needs only numbers, strings, containers and a few names. The machine
in this module has only the opcodes for these and cannot import. A name must be in the list of the
caller, and only objects from this list can be called.

Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, TypeVar

from minicore.errors import BackboneError, quoted

Kind = TypeVar("Kind")

PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}
MOST_ARGUMENTS = 8  # torch's _rebuild_tensor_v2 has seven, more than every other call


def read_pickle(
    stream: BytesIO,
    names: Mapping[str, Any],
    persistent_load: Callable[[Any], Any],
) -> Any:
    """Return the content of one pickle, and move the stream to the end of the pickle.

    Each value needs at least one byte of the pickle, no value is built by recursion, and no step
    visits the same values twice. Therefore a damaged pickle takes at most about 200 bytes of memory
    per byte, and time in proportion to its size.

    Parameters
    ----------
    stream : BytesIO
        A pickle of protocol 2 to 5. Other data may follow it.
    names : mapping of str to object
        The object for each allowed "module name". The pickle may call these objects.
    persistent_load : callable
        Returns the object for a persistent id.

    Returns
    -------
    object
        Numbers, strings, containers, and results of `names` and `persistent_load`.

    Raises
    ------
    BackboneError
        If the pickle is damaged or uses something that is not allowed. Nothing has been run.
    """
    try:
        return _interpret(stream, names, persistent_load)
    except (ValueError, TypeError, LookupError, OverflowError, DeprecationWarning) as error:
        if isinstance(error, BackboneError):  # this class is derived from ValueError
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
            arguments, function = _checked_arguments(stack.pop()), stack.pop()
            stack.append(function(*arguments))
        elif op == "BINPERSID":
            stack.append(persistent_load(_checked_arguments(stack.pop())))
        elif op == "BUILD":  # the attributes of an OrderedDict, where torch stores versions: skip
            stack.pop()
            _expect(stack[-1], dict)
        elif op == "STOP":
            return stack.pop()
        elif op not in IGNORED:
            raise BackboneError(f"its pickle uses {op}, which weights do not need; nothing was run")
    raise ValueError("no end")


def _named(names: Mapping[str, Any], name: str) -> Any:
    if name not in names:
        raise BackboneError(
            f"its pickle names {quoted(name)}, which weights do not need; nothing was run"
        )
    return names[name]


def ordered_dict(pairs: list[Any] | None = None) -> dict[Any, Any]:
    """Return a dictionary in place of `collections.OrderedDict`.

    Python 2 wrote an OrderedDict as a call with a list of pairs.
    """
    target: dict[Any, Any] = {}
    if pairs is not None:
        items = [item for key, value in _expect(pairs, list) for item in (key, value)]
        pairs.clear()  # a pickle could pass the same long list to a million calls
        _set_items(target, items)
    return target


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    """Set the items key, value, key, value, … of a dictionary.

    Keys must be strings or 32-bit integers. The hash of a deeply nested tuple can take very long,
    and large integers can be chosen so that all of them have the same hash.
    """
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not (isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**31)):
            raise TypeError(f"a key of type {type(key).__name__}")
        target[key] = value


def _checked_arguments(arguments: Any) -> tuple[Any, ...]:
    """Return the arguments of a call, which must be few.

    A pickle could store a long tuple once and pass it to a million calls.
    """
    few = _expect(arguments, tuple)
    if len(few) > MOST_ARGUMENTS:
        raise TypeError(f"{len(few)} arguments")
    return few


def _expect(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"found {type(value).__name__}, expected {kind.__name__}")
    return value
