"""The argument parser of all commands: strict, and it names the nearest known name."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

EXIT_USAGE = 2
_NEGATIVE_NUMBER = re.compile(r"-\d*\.?\d")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that explains unknown options, commands and choices.

    Abbreviations of options are refused: a later version may have two options that
    begin alike.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str],
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        # argparse would name a missing argument first, and not the misspelt option.
        self._check_options(args)
        parsed, others = super().parse_known_args(args, namespace)
        if others and "inputs" in parsed:
            # argparse leaves over each INPUT that stands after an option.
            parsed.inputs = [*parsed.inputs, *others]
        elif others:
            self.error(f"unexpected argument {others[0]!r}; {self._see_help()}")
        return parsed, []

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"fsdsinet: {message}\n")

    def _check_options(self, arguments: Sequence[str]) -> None:
        known = self._option_string_actions
        for argument in arguments:
            if not _is_option(argument):
                if self._subparsers:
                    # The parser of the command checks the rest.
                    return
                continue
            option = argument.partition("=")[0]
            if option not in known:
                hint = self._did_you_mean(option, known) or self._see_help()
                self.error(f"unknown option {option}; {hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Overrides the check of argparse for commands and choices."""
        choices = action.choices
        if choices is None or value in choices:
            return
        names = [str(choice) for choice in choices]
        nearest = self._did_you_mean(value, names)
        if isinstance(action, argparse._SubParsersAction):
            hint = nearest or f"expected one of: {', '.join(names)}"
            self.error(f"unknown command {value!r}; {hint}")
        problem = f"got {value!r}, expected one of: {', '.join(names)}"
        if nearest:
            problem += f"; {nearest}"
        raise argparse.ArgumentError(action, problem)

    def _did_you_mean(self, name: str, known: Iterable[str]) -> str:
        from transforms.errors import did_you_mean

        return did_you_mean(name, known)

    def _see_help(self) -> str:
        if self._subparsers:
            return f"options of a command follow its name, see '{self.prog} --help'"
        return f"see '{self.prog} --help'"


def _is_option(argument: str) -> bool:
    """Whether argparse takes an argument for an option, known or not."""
    return (
        argument.startswith("-")
        and argument != "-"
        and " " not in argument
        and not _NEGATIVE_NUMBER.match(argument)
    )


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    **settings: Any,
) -> Parser:
    """Adds a command to a parser.

    Args:
        commands: Commands of the parser.
        name: Name of the command.
        run: Function that runs the command and returns its exit code.
        summary: Help text in the list of commands.
        description: Help text of the command itself.
        settings: Further settings of the command's parser.

    Returns:
        The parser of the command, without options.
    """
    parser = commands.add_parser(
        name, help=summary, description=description, **settings
    )
    parser.set_defaults(run=run)
    return parser


def add_dataset(parser: Parser) -> None:
    """Adds OUT, the dataset that a command reads."""
    parser.add_argument("dataset", metavar="OUT", help="folder of the dataset")


def add_model(parser: Parser) -> None:
    """Adds --model, the model whose results a command reads."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="model whose results are read; needed if the dataset has several models",
    )


def whole_number(text: str) -> int:
    """Reads the value of an option that is a whole number."""
    try:
        return int(text)
    except ValueError as error:
        problem = f"got {text!r}, expected a whole number"
        raise argparse.ArgumentTypeError(problem) from error


def number(text: str) -> float:
    """Reads the value of an option that is a number."""
    try:
        return float(text)
    except ValueError as error:
        problem = f"got {text!r}, expected a number"
        raise argparse.ArgumentTypeError(problem) from error
