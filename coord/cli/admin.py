"""The HTTP admin as the commands start it: only where it is asked for, since its libraries are an extra."""

from functools import partial
from pathlib import Path

from coord.server.config import Config
from coord.server.loading import SettingError
from coord.server.serve import Beside

TOKEN_BYTES_MIN = 16
TOKEN_BYTES_MAX = 1024


def admin_of(config: Config) -> Beside | None:
    """What runs beside the server; None if nobody wants it. Raises SettingError."""
    if config.admin is None:
        return None
    token = None if config.admin_token_file is None else read_token(config.admin_token_file)
    try:
        from coord.admin.http import run_admin
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "coord":
            raise
        raise SettingError(
            f"admin {config.admin} needs the Python package {package}, which is not installed; "
            "install coord[admin], or leave --admin out"
        ) from None
    return partial(run_admin, token=token)


def read_token(file: Path) -> bytes:
    """The token in the file, without blanks around it. Raises SettingError."""
    try:
        with file.open("rb") as opened:
            token = opened.read(TOKEN_BYTES_MAX + 1).strip()
    except OSError as error:
        raise SettingError(f"admin_token_file {file} cannot be read: {error.strerror}") from None
    if not TOKEN_BYTES_MIN <= len(token) <= TOKEN_BYTES_MAX or len(token.split()) != 1:
        raise SettingError(
            f"admin_token_file {file} must hold one word of {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes; "
            "openssl rand -hex 32 makes one"
        )
    return token
