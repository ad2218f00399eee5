"""pjdfstest's categories, as far as they apply to a mount: `posix.py MODEL [CATEGORY...]`.

The caller is root, the mount was made with allow_other, MODEL has the adapters `task` (which has a
prompt) and `other`. What does not apply, and why, is in docs/posix.md. Each category is a function,
and each line of it a call and how it ends: an errno, or None for success.
"""
import errno
import os
import stat
import sys
import time

MODEL = sys.argv[1]
TASK = f"{MODEL}/task"
NOBODY = 65534
N = 0  # checks
LONG = "." + "x" * 254      # as long as a name may be
TOO_LONG = "." + "x" * 255
FAR = "/".join(["x" * 100] * 60)  # over PATH_MAX


def ends(want, action, *args, **named):
    """The call ends with this errno (None: well); its result."""
    global N
    N += 1
    got, result = None, None
    try:
        result = action(*args, **named)
    except OSError as e:
        got = errno.errorcode[e.errno]
    if got != want:
        call = f"{getattr(action, '__name__', action)}{args}"
        raise SystemExit(f"check failed: {call}: {got or 'success'}, not {want or 'success'}")
    return result


def holds(condition, text):
    global N
    N += 1
    if not condition:
        raise SystemExit(f"check failed: {text}")


def as_nobody(action, *args):
    """The call, made by another user; an OSError comes over."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            action(*args)
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))


def make(name=".file", text=b"0123456789"):
    path = f"{TASK}/{name}"
    with open(path, "wb") as f:
        f.write(text)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def close(f):
    os.close(f)


def names_in_paths(action):
    """What every call by name refuses: a component that is a file, that is missing, too long."""
    path = make()
    ends("ENOTDIR", action, f"{path}/x")
    ends("ENOENT", action, f"{TASK}/.none/x")
    ends("ENAMETOOLONG", action, f"{TASK}/{TOO_LONG}")
    ends("ENAMETOOLONG", action, f"{TASK}/{FAR}")
    os.symlink(".loop", f"{TASK}/.pool")
    os.symlink(".pool", f"{TASK}/.loop")
    ends("ELOOP", action, f"{TASK}/.loop/x")
    for name in (".pool", ".loop", ".file"):
        os.unlink(f"{TASK}/{name}")


# ---- Categories ----------------------------------------------------------------------------------

def chmod():
    path = make()
    for mode in (0o600, 0o755, 0o4755, 0o1000, 0o644):
        ends(None, os.chmod, path, mode)
        holds(stat.S_IMODE(os.stat(path).st_mode) == mode, f"mode {mode:o}")
    f = os.open(path, os.O_RDONLY)
    ends(None, os.fchmod, f, 0o640)
    holds(stat.S_IMODE(os.fstat(f).st_mode) == 0o640, "mode by descriptor")
    close(f)
    ends("EPERM", as_nobody, os.chmod, path, 0o777)
    ends("ENOENT", os.chmod, f"{TASK}/.none", 0o644)
    names_in_paths(lambda p: os.chmod(p, 0o644))
    # What the daemon keeps has the mode that it has; to set it is no error, so that tools go on.
    ends(None, os.chmod, f"{TASK}/prompt", 0o600)
    ends(None, os.chmod, TASK, 0o700)
    holds(stat.S_IMODE(os.stat(f"{TASK}/prompt").st_mode) == 0o644, "the daemon's mode")
    make()
    ends(None, os.unlink, path)


def chown():
    path = make()
    owner = os.stat(path)
    ends(None, os.chown, path, owner.st_uid, owner.st_gid)
    ends("EPERM", as_nobody, os.chown, path, NOBODY, NOBODY)
    ends("ENOENT", os.chown, f"{TASK}/.none", 0, 0)
    names_in_paths(lambda p: os.chown(p, 0, 0))
    make()
    ends(None, os.unlink, path)


def link():
    path = make()
    ends("EPERM", os.link, path, f"{TASK}/.second")
    ends("EPERM", os.link, f"{TASK}/prompt", f"{TASK}/.second")
    ends("EEXIST", os.link, path, f"{TASK}/prompt")
    ends("ENOENT", os.link, f"{TASK}/.none", f"{TASK}/.second")
    ends("EXDEV", os.link, __file__, f"{TASK}/.second")
    holds(os.stat(path).st_nlink == 1, "one name")
    names_in_paths(lambda p: os.link(p, f"{TASK}/.second"))
    make()
    ends(None, os.unlink, path)


def mkdir():
    ends(None, os.mkdir, f"{MODEL}/made")
    holds(stat.S_ISDIR(os.lstat(f"{MODEL}/made").st_mode), "a directory")
    holds("made" in os.listdir(MODEL), "it is listed")
    ends("EEXIST", os.mkdir, f"{MODEL}/made")
    ends("EACCES", as_nobody, os.mkdir, f"{MODEL}/others")
    ends("EINVAL", os.mkdir, f"{MODEL}/a b")
    ends("EINVAL", os.mkdir, f"{TASK}/sub")
    ends("EINVAL", os.mkdir, f"{MODEL}/{'x' * 65}")
    ends("EPERM", os.mkdir, f"{MODEL}/../base/x")
    names_in_paths(os.mkdir)
    ends(None, os.rmdir, f"{MODEL}/made")


def mkfifo():
    ends("EPERM", os.mkfifo, f"{TASK}/.fifo")
    ends("ENOENT", os.stat, f"{TASK}/.fifo")


def mknod():
    ends("EPERM", os.mknod, f"{TASK}/.node", 0o644 | stat.S_IFCHR, os.makedev(1, 3))
    ends("EPERM", os.mknod, f"{TASK}/.node", 0o644 | stat.S_IFBLK, os.makedev(1, 3))
    ends("EPERM", os.mknod, f"{TASK}/.node", 0o644 | stat.S_IFSOCK)
    ends("ENOENT", os.stat, f"{TASK}/.node")


def open_():
    path = f"{TASK}/.file"
    ends("ENOENT", os.open, path, os.O_RDONLY)
    close(ends(None, os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
    holds(stat.S_IMODE(os.stat(path).st_mode) == 0o640, "the mode that it was made with")
    ends("EEXIST", os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    ends("EEXIST", os.open, f"{TASK}/prompt", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    close(ends(None, os.open, path, os.O_CREAT | os.O_WRONLY))
    ends("ENOTDIR", os.open, path, os.O_DIRECTORY)
    ends("EISDIR", os.open, TASK, os.O_WRONLY)
    ends("EISDIR", os.open, TASK, os.O_RDWR)
    f = ends(None, os.open, path, os.O_WRONLY | os.O_APPEND)
    os.write(f, b"ab")
    os.lseek(f, 0, os.SEEK_SET)
    os.write(f, b"cd")
    close(f)
    holds(read(path) == b"abcd", "O_APPEND writes at the end")
    close(ends(None, os.open, path, os.O_WRONLY | os.O_TRUNC))
    holds(os.stat(path).st_size == 0, "O_TRUNC empties")
    f = os.open(path, os.O_RDONLY)
    ends("EBADF", os.write, f, b"x")
    close(f)
    f = os.open(path, os.O_WRONLY)
    ends("EBADF", os.read, f, 1)
    close(f)
    os.chmod(path, 0o600)
    ends("EACCES", as_nobody, os.open, path, os.O_RDONLY)
    ends("EACCES", as_nobody, os.open, f"{TASK}/prompt", os.O_WRONLY)
    ends("EACCES", as_nobody, os.open, f"{TASK}/.other", os.O_CREAT | os.O_WRONLY)
    ends(None, as_nobody, os.open, f"{TASK}/prompt", os.O_RDONLY)
    os.symlink(".file", f"{TASK}/.link")
    ends("ELOOP", os.open, f"{TASK}/.link", os.O_RDONLY | os.O_NOFOLLOW)
    close(ends(None, os.open, f"{TASK}/.link", os.O_RDONLY))
    os.unlink(f"{TASK}/.link")
    os.unlink(path)
    names_in_paths(lambda p: os.open(p, os.O_RDONLY))
    names_in_paths(lambda p: os.open(p, os.O_CREAT | os.O_WRONLY))
    ends("EINVAL", os.open, f"{TASK}/unknown", os.O_CREAT | os.O_WRONLY)
    ends("EPERM", os.open, f"{TASK}/status", os.O_RDWR)
    close(ends(None, os.open, f"{TASK}/{LONG}", os.O_CREAT | os.O_WRONLY))
    ends(None, os.unlink, f"{TASK}/{LONG}")


def posix_fallocate():
    f = os.open(make(), os.O_RDWR)
    ends(None, os.posix_fallocate, f, 0, 100)
    holds(os.fstat(f).st_size == 100, "it is as large")
    ends("EINVAL", os.posix_fallocate, f, 0, 0)
    ends("EINVAL", os.posix_fallocate, f, -1, 1)
    close(f)
    os.unlink(f"{TASK}/.file")


def rename():
    path, other = make(".one", b"1"), make(".two", b"2")
    ends(None, os.rename, path, other)
    ends("ENOENT", os.stat, path)
    holds(read(other) == b"1", "the new name has the old one's bytes")
    ends(None, os.rename, other, other)
    ends("ENOENT", os.rename, f"{TASK}/.none", path)
    ends("EISDIR", os.rename, other, f"{TASK}/versions")
    ends("ENOTDIR", os.rename, f"{TASK}/versions", other)
    ends("EXDEV", os.rename, other, "/tmp/lorafs-posix")
    ends("EACCES", as_nobody, os.rename, other, path)
    f = os.open(other, os.O_RDONLY)
    make(".one", b"3")
    os.rename(path, other)
    holds(os.read(f, 9) == b"1", "an open file stays what it was")
    close(f)
    os.rename(other, f"{TASK}/prompt")
    holds(read(f"{TASK}/prompt") == b"3", "renaming onto a file of the daemon writes it")
    ends("ENOENT", os.stat, other)
    ends("EINVAL", os.rename, f"{MODEL}/other", f"{MODEL}/other/sub")
    ends("EEXIST", os.rename, f"{MODEL}/other", TASK)
    ends(None, os.rename, f"{MODEL}/other", f"{MODEL}/another")
    ends("ENOENT", os.stat, f"{MODEL}/other")
    ends(None, os.rename, f"{MODEL}/another", f"{MODEL}/other")
    names_in_paths(lambda p: os.rename(p, f"{TASK}/.new"))
    make()
    ends("ENAMETOOLONG", os.rename, f"{TASK}/.file", f"{TASK}/{TOO_LONG}")
    os.unlink(f"{TASK}/.file")


def rmdir():
    os.mkdir(f"{MODEL}/made")
    ends("EACCES", as_nobody, os.rmdir, f"{MODEL}/made")
    ends(None, os.rmdir, f"{MODEL}/made")
    ends("ENOENT", os.rmdir, f"{MODEL}/made")
    make()
    ends("ENOTEMPTY", os.rmdir, TASK)
    os.unlink(f"{TASK}/.file")
    ends("ENOTDIR", os.rmdir, f"{TASK}/prompt")
    ends("EINVAL", os.rmdir, f"{TASK}/.")
    ends("ENOTEMPTY", os.rmdir, f"{TASK}/..")
    ends("EPERM", os.rmdir, f"{MODEL}/../base")
    ends("EBUSY", os.rmdir, os.path.dirname(MODEL))
    names_in_paths(os.rmdir)


def symlink():
    path = f"{TASK}/.link"
    ends(None, os.symlink, "anywhere", path)
    holds(os.readlink(path) == "anywhere", "its text")
    holds(stat.S_ISLNK(os.lstat(path).st_mode), "a link")
    holds(os.lstat(path).st_size == len("anywhere"), "its size")
    ends("ENOENT", os.stat, path)
    ends("EEXIST", os.symlink, "anywhere", path)
    ends("EEXIST", os.symlink, "anywhere", f"{TASK}/prompt")
    ends("EACCES", as_nobody, os.symlink, "anywhere", f"{TASK}/.other")
    ends("ENAMETOOLONG", os.symlink, "x" * 4096, f"{TASK}/.other")
    ends("ENOENT", os.symlink, "", f"{TASK}/.other")
    ends(None, os.unlink, path)
    ends("ENOENT", os.lstat, path)
    names_in_paths(lambda p: os.symlink("x", p))


def truncate_with(cut):
    path = make()
    ends(None, cut, path, 4)
    holds(read(path) == b"0123", "cut")
    ends(None, cut, path, 8)
    holds(read(path) == b"0123\0\0\0\0", "grown by zeros")
    ends(None, cut, path, 0)
    holds(os.stat(path).st_size == 0, "emptied")
    ends("EINVAL", cut, path, -1)
    ends("EFBIG", cut, path, 1 << 60)
    os.unlink(path)


def truncate():
    truncate_with(os.truncate)
    path = make()
    os.chmod(path, 0o644)
    ends("EACCES", as_nobody, os.truncate, path, 0)
    ends("EISDIR", os.truncate, TASK, 0)
    ends("ENOENT", os.truncate, f"{TASK}/.none", 0)
    ends("EPERM", os.truncate, f"{TASK}/status", 0)
    names_in_paths(lambda p: os.truncate(p, 0))
    before = read(f"{TASK}/prompt")
    ends(None, os.truncate, f"{TASK}/prompt", 1)
    holds(read(f"{TASK}/prompt") == before[:1], "a file of the daemon, cut")


def ftruncate():
    def cut(path, size):
        f = os.open(path, os.O_RDWR)
        try:
            os.ftruncate(f, size)
        finally:
            os.close(f)
    truncate_with(cut)
    f = os.open(make(), os.O_RDONLY)
    ends("EINVAL", os.ftruncate, f, 0)
    close(f)
    f = os.open(f"{TASK}/.file", os.O_RDWR)
    os.unlink(f"{TASK}/.file")
    ends(None, os.ftruncate, f, 3)
    holds(os.fstat(f).st_size == 3, "of a file without a name")
    close(f)


def unlink():
    path = make()
    ends(None, os.unlink, path)
    ends("ENOENT", os.unlink, path)
    ends("ENOENT", os.stat, path)
    f = os.open(make(), os.O_RDWR)
    os.unlink(path)
    holds(os.read(f, 99) == b"0123456789", "an open file is there without its name")
    os.write(f, b"ab")
    holds(os.pread(f, 99, 0) == b"0123456789ab", "and may be written")
    holds(os.fstat(f).st_nlink == 0, "it has no name")
    ends("ENOENT", os.stat, path)
    close(f)
    make()
    ends("EACCES", as_nobody, os.unlink, path)
    ends("EISDIR", os.unlink, TASK)
    ends("EISDIR", os.unlink, f"{TASK}/versions")
    ends(None, os.unlink, f"{TASK}/status")  # for rm -r: it is there again in a moment
    ends("EPERM", os.unlink, f"{MODEL}/../README")
    names_in_paths(os.unlink)
    with open(f"{TASK}/prompt", "wb") as f:
        f.write(b"hello")
    ends(None, os.unlink, f"{TASK}/prompt")
    ends("ENOENT", os.stat, f"{TASK}/prompt")
    with open(f"{TASK}/prompt", "wb") as f:
        f.write(b"hello")
    holds(read(f"{TASK}/prompt") == b"hello", "made again")


def utimensat():
    path = make()
    ends(None, os.utime, path, ns=(10 ** 18, 1234567890123000000))
    holds(os.stat(path).st_mtime_ns == 1234567890123000000, "the time, to a millisecond")
    now = time.time()
    ends(None, os.utime, path)
    holds(abs(os.stat(path).st_mtime - now) < 60, "now")
    with open(path, "ab") as f:
        f.write(b"x")
    holds(os.stat(path).st_mtime >= now - 1, "a write sets it")
    os.chmod(path, 0o644)
    ends("EACCES", as_nobody, os.utime, path)
    ends("EPERM", as_nobody, lambda p: os.utime(p, (1, 1)), path)
    ends("ENOENT", os.utime, f"{TASK}/.none")
    names_in_paths(os.utime)
    ends(None, os.utime, f"{TASK}/prompt", (1, 1))
    ends(None, os.utime, TASK, (1, 1))


CATEGORIES = {"chmod": chmod, "chown": chown, "ftruncate": ftruncate, "link": link, "mkdir": mkdir,
              "mkfifo": mkfifo, "mknod": mknod, "open": open_, "posix_fallocate": posix_fallocate,
              "rename": rename, "rmdir": rmdir, "symlink": symlink, "truncate": truncate,
              "unlink": unlink, "utimensat": utimensat}
os.umask(0)
for category in sys.argv[2:] or CATEGORIES:
    before = N
    CATEGORIES[category]()
    print(f"{category}: {N - before} checks", file=sys.stderr)
