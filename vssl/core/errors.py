"""Errors that users cause: a fault in what they gave, and Ctrl-C."""

from __future__ import annotations


class UsageError(ValueError):
    """A fault in what the user gave: a file, a folder, an option.

    Its message names the file, the key and what to do; commands print it without a traceback.

    Example:
        >>> import vssl
        >>> try:
        ...     vssl.load_run("no_such_folder")
        ... except vssl.UsageError as error:
        ...     print(str(error).split(": ")[1].partition(".")[0])
        no such file
    """


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came up while Ctrl-C was being handled.

    Lightning raises SystemExit in place of KeyboardInterrupt, OmegaConf may raise its own error.
    """
    return error is not None and (
        isinstance(error, KeyboardInterrupt)
        or was_interrupted(error.__cause__)
        or (error.__context__ is not error.__cause__ and was_interrupted(error.__context__))
    )
