"""The file system that a folder lies on, and whether file locks there exclude every machine.

Network file systems may grant locks that hold on one machine only, or exclude nobody. Two drivers
would then work on one folder without noticing each other, so such folders are refused.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from editloop.errors import StoreError
from editloop.storage.files import explained

__all__ = ["Mount", "check_locks", "lock_byte", "mount_of"]

_TABLE = Path("/proc/mounts")
_FLOCK = "hhqqi0q"  # `struct flock` of Linux: type, whence, start, length, process

# Locks of these reach all machines, except with a mount option that matches.
_SHARED = {
    **dict.fromkeys(("nfs", "nfs4"), r"nolock|local_lock=(?!none).*"),
    **dict.fromkeys(("cifs", "smb3"), r"nobrl"),
    "lustre": r"localflock",
    **dict.fromkeys(("afs", "ceph", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs"), r"(?!)"),
    **dict.fromkeys(("fuse.juicefs", "gfs2", "gpfs", "ocfs2", "panfs", "pvfs2", "wekafs"), r"(?!)"),
}
# Locks of these hold on one machine only, unless a setting that cannot be seen here differs.
_LOCAL = {"beegfs", "davfs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.curlftpfs", "fuse.davfs"}
_LOCAL |= {"fuse.fuse_dfs", "fuse.gcsfuse", "fuse.goofys", "fuse.hdfs", "fuse.mountpoint-s3"}
_LOCAL |= {"fuse.rclone", "fuse.s3fs", "fuse.s3ql", "fuse.sshfs"}
_excluding: set[int] = set()  # devices whose locks were found to exclude


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, its kind (such as "ext4" or "nfs4") and its options."""

    point: Path
    kind: str
    options: tuple[str, ...]

    @property
    def shared(self) -> bool:
        """Whether other machines may mount it too."""
        return self.kind in _SHARED or self.kind in _LOCAL

    @property
    def local_locks(self) -> str | None:
        """Why locks hold on one machine only: the kind, or a mount option; None if they do not."""
        if self.kind in _LOCAL:
            return self.kind
        odd = re.compile(_SHARED.get(self.kind, r"(?!)"))
        return next((f"{self.kind}, {each}" for each in self.options if odd.fullmatch(each)), None)


def mount_of(path: Path) -> Mount | None:
    """Return the file system that a path lies on, or will lie on; None where it is not known."""
    place = path.resolve()
    found = None
    for mount in _mounts():
        inside = place.is_relative_to(mount.point)
        if inside and (found is None or len(mount.point.parts) >= len(found.point.parts)):
            found = mount  # a later one at the same point hides an earlier one
    return found


def check_locks(folder: Path) -> None:
    """Raise StoreError if file locks in an existing folder do not exclude all other processes.

    The mount's kind and options are looked up, and locks are tried once per file system.
    """
    with explained("lock files", folder):
        device = folder.stat().st_dev
        if device in _excluding:
            return
        mount = mount_of(folder)
        why = None if mount is None else mount.local_locks
        if why is not None:
            raise _refused("file locks on this network file system hold on one machine only", why)
        if not _exclude(folder):
            kind = folder if mount is None else f"{folder} ({mount.kind})"
            raise _refused("file locks on this file system do not exclude anyone", kind)
        _excluding.add(device)


def lock_byte(descriptor: int, offset: int, *, held: bool) -> bool:
    """Lock or unlock a byte, per open file on Linux, per process on other systems.

    Returns False if it is locked elsewhere.
    """
    try:
        if sys.platform == "linux":
            kind = fcntl.F_WRLCK if held else fcntl.F_UNLCK
            request = struct.pack(_FLOCK, kind, os.SEEK_SET, offset, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
        else:
            kind = fcntl.LOCK_EX | fcntl.LOCK_NB if held else fcntl.LOCK_UN
            fcntl.lockf(descriptor, kind, 1, offset)
    except (BlockingIOError, PermissionError):  # a locked byte, depending on the system
        return False
    return True


def _exclude(folder: Path) -> bool:
    """Return whether a file that is locked twice is locked once, as a whole and by a byte."""
    with (
        NamedTemporaryFile(dir=folder, prefix=".lock-probe-") as one,
        Path(one.name).open("r+b") as other,
    ):
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(one, fcntl.LOCK_UN)  # some network file systems turn it into byte locks
        else:
            return False
        taken = [lock_byte(each.fileno(), 0, held=True) for each in (one, other)]
        return taken[0] and (sys.platform != "linux" or not taken[1])


def _refused(cause: str, value: object) -> StoreError:
    return StoreError(
        cause,
        value=value,
        fix="choose a folder on a local disk, or have it mounted with locks for all machines",
    )


def _mounts() -> Iterator[Mount]:
    if not _TABLE.is_file():  # not Linux
        return
    for line in _TABLE.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, point, kind, options, *_ = line.split(" ")
        plain = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        yield Mount(Path(plain), kind, tuple(options.split(",")))
