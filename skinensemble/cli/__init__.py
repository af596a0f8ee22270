"""The command line: ``skinensemble train``, ``search``, ``predict``, ``evaluate`` and more.

Each command is a module here with two functions: ``add_parser`` describes its options, ``run``
does the work. What a command needs is imported in ``run``, so that help is there at once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

from skinensemble import __version__
from skinensemble.cli import backbones, demo, evaluate, info, predict, search, train
from skinensemble.cli._engines import chosen_engine
from skinensemble.cli._light import go_light
from skinensemble.cli._screen import UsageError, escaped, spoken
from skinensemble.cli._stop import end_when_told, leave, was_told

__all__ = ["main"]

_COMMANDS = (train, search, predict, evaluate, info, backbones, demo)
_EPILOG = "Research software, not a medical device: no verdict replaces a physician."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        0 when all is well; 1 when data, a model or a file cannot be used, or an option does not fit
        the data or an existing file; 2 when the arguments are wrong by themselves; 130 after Ctrl-C
        or SIGTERM; 141 when the reader of the output has gone.

    Examples
    --------
    >>> main(["--version"])
    skinensemble ...
    0
    """
    _set_environment()
    if argv is None:
        _open_streams()
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else 2
    last_words = functools.partial(_say_stopped, args)
    if argv is None:  # the process is ours
        # What is imported and built is a million objects, none of them garbage.
        gc.set_threshold(100_000)
        go_light(args)
        end_when_told(last_words)
    debug = getattr(args, "debug", False)
    with _warnings_as_lines(debug):
        try:
            with chosen_engine(args):
                code = args.run(args)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            if argv is None:
                leave(last_words)
            last_words()
            return 130
        except BrokenPipeError:
            _close_stdout()
            return 141
        except UsageError as error:
            _say(f"error: {error}")
            return 2
        except Exception as error:
            if was_told():
                leave(last_words)
            if debug:
                traceback.print_exc()
            _say(f"error: {_explain(error)}")
            if _is_late(error) and hasattr(args, "go_on"):
                _say(args.go_on(args))
            return 1


def _say_stopped(args: argparse.Namespace) -> None:
    _say(f"stopped – {args.go_on(args)}" if hasattr(args, "go_on") else "stopped")


def _set_environment() -> None:
    """Set what TensorFlow reads when it is imported; too late is worse than never.

    Processes started from here would then compute otherwise than this one.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # Where TensorFlow leaves it off, networks run 1.1 to 1.6 times slower, and heads twice.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _open_streams() -> None:
    """Let nothing fail because of where its words go: nowhere, or where not all letters are known.

    A stream that was closed before the start is None, and its number the first file's to be opened.
    """
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w"))
        elif name == "stdout" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skinensemble",
        description="Voting ensembles of transfer-learned networks for dermatoscopic images.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"skinensemble {__version__}")
    # Accepted before and after the command; a default there would undo what was given here.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for each in (parser, common):
        each.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_parser(commands, parents=[common])
    return parser


@contextlib.contextmanager
def _warnings_as_lines(debug: bool) -> Iterator[None]:
    """Show what concerns the user as one line each, once; the rest only for debugging."""
    seen: set[str] = set()

    def show(text, category, filename, lineno, file=None, line=None):
        words = " ".join(str(text).split())
        if words not in seen:
            seen.add(words)
            _say(f"warning: {words}")

    with warnings.catch_warnings():
        warnings.simplefilter("default" if debug else "ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _explain(error: Exception) -> str:
    from skinensemble.exceptions import SkinEnsembleError

    text = " ".join(str(error).split())
    if isinstance(error, SkinEnsembleError):
        return text
    if isinstance(error, OSError):
        return text or type(error).__name__
    kind = type(error).__name__
    return f"{kind}: {text} – this should not happen – repeat with --debug and report it"


def _is_late(error: Exception) -> bool:
    from skinensemble.exceptions import TimeLimitError

    return isinstance(error, TimeLimitError)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"skinensemble: {escaped(spoken(text))}", file=sys.stderr, flush=True)


def _close_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
