"""Formulas as loops in C: read from their source, and never written a second time.

NumPy walks over memory once for every operation of a formula; a loop does all of them to one value
after the other. A `Translator` cuts the source of a rule or an activation in two. What depends on
no array, as `1 - self.beta1`, is a number: Python computes it once a step. The rest is done to
every value, and becomes the body of a loop, operation by operation in the same order: so both have
the same bits.

    m *= self.beta1                    number 0 is self.beta1        m = m * S0;
    m += (1 - self.beta1) * g          number 1 is 1 - self.beta1    m = m + (S1 * g);
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.LtE: "<=",
}
FUNCTIONS = ("abs", "clip", "maximum", "minimum", "sign", "sqrt", "where")
"""Functions of NumPy that loops have by the same names, in capitals, to the same bits."""

SMOOTH = ("erf", "exp", "expm1", "log1p", "tanh")
"""Those that both approximate, to the last digits but one."""


class UntranslatableError(Exception):
    """A rule that is no loop over single values; the message is the reason."""


@dataclass(frozen=True)
class Loop:
    """A formula as a loop: its text in C, and the numbers that Python computes for it."""

    text: str
    numbers: Callable[[Any], tuple[float, ...]]
    """The numbers of the loop for an optimizer or a layer, as it is now."""
    n_numbers: int

    @cached_property
    def digest(self) -> str:
        """What tells a loop that was compiled from this text from all others."""
        return sha256(self.text.encode()).hexdigest()[:16]


def source_of(function: Any) -> ast.FunctionDef:
    """The definition of a method, from its source; UntranslatableError if there is none."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise UntranslatableError("has no source that can be read") from error
    if not isinstance(function, FunctionType) or not isinstance(tree, ast.FunctionDef):
        raise UntranslatableError("is no plain function")
    return tree


@lru_cache(maxsize=512)
def translated(
    translate: Callable[..., Loop], arguments: tuple[Any, ...], methods: tuple[Any, ...]
) -> Loop | None:
    """`translate(*arguments)`, or None where that cannot be; anew if `methods` are others now."""
    try:
        return translate(*arguments)
    except UntranslatableError:
        return None


class Translator:
    """Reads methods of a class that work on arrays, which C knows by the names `arrays`."""

    def __init__(self, kind: type[Any], arrays: Sequence[str]) -> None:
        self.kind = kind
        self.numbers: list[str] = []  # expressions of Python, S0, S1, ... in C
        self.lines: list[str] = []
        self._prologue: list[str] = []  # statements of Python that come before the numbers
        self._scope: dict[str, Any] = {}  # what the modules of the formulas know
        self._names: dict[str, str] = {}  # those of values, in Python and in C
        self._known = set(arrays)
        self._owner: type[Any] = kind

    def translate(self, function: Any, arguments: Sequence[str]) -> list[str]:
        """The statements of `function` in C; its arguments have these names there.

        Raises UntranslatableError, with the reason, if they are no loop over single values.
        """
        self.lines = []
        self._add(function, arguments)
        return self.lines

    def declarations(self) -> list[str]:
        """The numbers as C has them, and what each is."""
        return [f"    const REAL S{i} = S[{i}]; /* {n} */" for i, n in enumerate(self.numbers)]

    def compute_numbers(self) -> Callable[[Any], tuple[float, ...]]:
        """A function of an optimizer or a layer that gives the numbers, all of them as they are."""
        lines = [*self._prologue, f"return ({' '.join(f'{number},' for number in self.numbers)})"]
        source = "def numbers(self):\n" + textwrap.indent("\n".join(lines), "    ")
        scope = dict(self._scope)
        exec(compile(source, f"<numbers of {self.kind.__name__}>", "exec"), scope)
        found: Callable[[Any], tuple[float, ...]] = scope["numbers"]
        return found

    def _add(self, function: Any, arguments: Sequence[str]) -> None:
        tree = source_of(function)
        given = [one.arg for one in tree.args.args[1:]]
        if len(given) > len(arguments):
            raise UntranslatableError(f"takes other arrays than {', '.join(arguments)}")
        self._scope |= function.__globals__
        self._owner = next(base for base in self.kind.__mro__ if function in vars(base).values())
        self._names = dict(zip(given, arguments, strict=False))
        for statement in tree.body:
            self._statement(statement, "", None)

    def _statement(self, node: ast.stmt, indent: str, guard: str | None) -> None:
        match node:
            case ast.Expr(ast.Constant()) | ast.ImportFrom():  # a docstring; where erf is from
                pass
            case ast.Assign([ast.Name(name)], value) if not self._has_values(value):
                number = ast.unparse(value)
                self._prologue.append(f"{name} = {_guarded(number, guard)}")
            case ast.Assign([ast.Name(name)], value):
                if name in self._names:
                    raise UntranslatableError(f"gives {name} another value: {ast.unparse(node)}")
                if guard is not None:
                    raise UntranslatableError(f"names a value under a condition: {name}")
                new = self._fresh(name)
                self.lines.append(f"{indent}const REAL {new} = {self._value(value, guard)};")
                self._names[name] = new
            case ast.Assign([ast.Subscript(ast.Name(name), ast.Constant(value=v))], value) if (
                name in self._names and v is ...
            ):
                self.lines.append(f"{indent}{self._names[name]} = {self._value(value, guard)};")
            case ast.AugAssign(ast.Name(name), operator, value) if name in self._names:
                sign, here = self._operator(operator), self._names[name]
                self.lines.append(f"{indent}{here} = {here} {sign} {self._value(value, guard)};")
            case ast.Expr(ast.Call(function, arguments, [ast.keyword("out", ast.Name(name))])) if (
                name in self._names
            ):
                value = ast.Call(function, arguments, [])
                self.lines.append(f"{indent}{self._names[name]} = {self._value(value, guard)};")
            case ast.If(test, body, otherwise) if not self._has_values(test):
                condition = ast.unparse(test)
                self.lines.append(f"{indent}if ({self._number(f'float({condition})', guard)}) {{")
                for inner, when in ((body, condition), (otherwise, f"not ({condition})")):
                    for one in inner:
                        both = when if guard is None else f"({guard}) and ({when})"
                        self._statement(one, indent + "    ", both)
                    if inner is body and otherwise:
                        self.lines.append(f"{indent}}} else {{")
                self.lines.append(f"{indent}}}")
            case ast.Expr(
                ast.Call(ast.Attribute(ast.Call(ast.Name("super"), [], []), "rule"), arguments, [])
            ) if guard is None:
                self._inherited(arguments)
            case _:
                raise UntranslatableError(f"has no loop for: {ast.unparse(node)}")

    def _inherited(self, arguments: Sequence[ast.expr]) -> None:
        """`super().rule(...)`: the statements of that rule, with these arguments."""
        above = self.kind.__mro__[self.kind.__mro__.index(self._owner) + 1 :]
        given = []
        for argument in arguments:
            if isinstance(argument, ast.Name) and argument.id in self._names:
                given.append(self._names[argument.id])
            else:
                given.append(self._fresh("given"))
                self.lines.append(f"const REAL {given[-1]} = {self._value(argument, None)};")
        rule = next(vars(base)["rule"] for base in above if "rule" in vars(base))
        self._add(rule, given)

    def _fresh(self, name: str) -> str:
        """A name of C that no value has yet."""
        while name in self._known:
            name += "_"
        self._known.add(name)
        return name

    def _has_values(self, node: ast.AST) -> bool:
        return any(isinstance(n, ast.Name) and n.id in self._names for n in ast.walk(node))

    def _number(self, source: str, guard: str | None) -> str:
        """The name in C of a number that Python computes once a step."""
        number = _guarded(source, guard)
        if number not in self.numbers:
            self.numbers.append(number)
        return f"S{self.numbers.index(number)}"

    def _operator(self, operator: ast.AST) -> str:
        sign = OPERATORS.get(type(operator))
        if sign is None:
            raise UntranslatableError(f"has no loop for the operator {type(operator).__name__}")
        return sign

    def _value(self, node: ast.expr, guard: str | None) -> str:
        """An expression of C; what has no values in it is a number."""
        if not self._has_values(node) and not isinstance(node, ast.Constant):
            return self._number(ast.unparse(node), guard)
        match node:
            case ast.Constant(value) if isinstance(value, int | float):
                return f"(REAL){value!r}"
            case ast.Name(name):
                return self._names[name]
            case ast.BinOp(left, operator, right) | ast.Compare(left, [operator], [right]):
                sign = self._operator(operator)
                return f"({self._value(left, guard)} {sign} {self._value(right, guard)})"
            case ast.UnaryOp(ast.USub(), value):
                return f"(-{self._value(value, guard)})"
            case ast.Call(ast.Attribute(ast.Name("np"), name), arguments, []) | ast.Call(
                ast.Name(name), arguments, []
            ) if name in FUNCTIONS + SMOOTH:
                if name == "where" and not any(map(self._has_values, arguments[1:])):
                    raise UntranslatableError(
                        f"computes in float64 whatever its arrays are: {ast.unparse(node)}"
                    )
                inner = ", ".join(self._value(argument, guard) for argument in arguments)
                return f"{name.upper()}({inner})"
        raise UntranslatableError(f"has no loop for: {ast.unparse(node)}")


def _guarded(number: str, guard: str | None) -> str:
    """A number that is only computed where its condition holds: elsewhere it may have no value."""
    return number if guard is None else f"({number}) if {guard} else 0.0"


def header(table: str, loops: Mapping[str, Loop], without: Mapping[str, str]) -> str:
    """A file of C: every loop by its name, a table of them, and what has none, and why."""
    reasons = [f"   {name}: {why}" for name, why in without.items()]
    rows = [f'    X({name}, "{loop.digest}")' for name, loop in loops.items()]
    return "\n".join(
        [
            "/* Written by `make loops` from the formulas of the package; do not edit.",
            *(["   Without a loop:", *reasons] if reasons else []),
            "*/",
            "",
            f"#ifndef {table}",
            " \\\n".join([f"#define {table}(X)", *rows]),
            "#endif",
            "",
            *(loop.text for loop in loops.values()),
        ]
    )


def write_if_changed(path: str, text: str) -> None:
    """Write a file, but leave it and its time as they are where it has this text already."""
    file = Path(path)
    if not file.exists() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")
