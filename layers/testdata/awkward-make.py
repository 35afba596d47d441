# Makes what the next step changes, and what layers have trouble with.
import os
import stat
import struct

os.makedirs("/srv/a/b/c")
os.chdir("/srv/a")


def write(path, content=b"content", mode=0o644):
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, mode)


def acl(*entries):
    """A POSIX access control list as the kernel keeps it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


OWNER, USER, GROUP, MASK, OTHER, NOBODY = 1, 2, 4, 16, 32, 2**32 - 1
ACL = acl((OWNER, 7, NOBODY), (USER, 6, 70000), (GROUP, 5, NOBODY), (MASK, 7, NOBODY), (OTHER, 0, NOBODY))
CAP_NET_BIND = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)

for name in (
    b"file", b"to-dir", b"to-link", b"to-fifo", b"to-device", b"gone", b"linked", b"unlinked", b"touched",
    b"new\nline", b"\xff\xfe not utf-8", b"-rf *", b"\xe2\x98\x83", b".wh", b".whisper", b"n" * 255, b" ", b"tab\t\\",
):
    write(name, b"made " + name)
for name in ("opaque", "opaque/deep", "emptied", "to-file", "to-link-dir", "gone-dir", "gone-dir/deep", "kept", "owned", "closed", "default-acl"):
    os.mkdir(name)
    write(name + "/inside")
os.symlink("kept", "dir-link")
os.symlink("kept", "dir-link-to-stay")
os.symlink("file", "file-link")
os.symlink(b"nowhere \xff\n", "dangling")
os.symlink("x" * 4000, "long-link")
os.lchown("dangling", 70000, 70001)
os.mkfifo("fifo", 0o640)
os.mknod("char", stat.S_IFCHR | 0o620, os.makedev(1, 3))
os.mknod("block", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
os.mknod("char-gone", stat.S_IFCHR | 0o600, os.makedev(1, 5))

os.link("linked", "b/linked-too")
os.link("linked", "b/c/linked-three")
os.link("unlinked", "b/unlinked-too")
os.link("dangling", "b/dangling-too")
os.link("fifo", "b/fifo-too")

write("setuid", mode=0o4755)
write("setgid", mode=0o2755)
write("none", mode=0)
os.chmod("closed", 0)
os.chmod("owned", 0o3777)
write("owned-file")
os.chown("owned-file", 70000, 4294967294)
os.chmod("owned-file", 0o6711)

write("capable", mode=0o755)
os.setxattr("capable", "security.capability", CAP_NET_BIND)
os.link("capable", "b/capable-too")
write("attributes")
os.setxattr("attributes", "user.text", b"text")
os.setxattr("attributes", "user.binary", bytes(range(256)) * 4)
os.setxattr("attributes", "user.empty", b"")
os.setxattr("attributes", "user.to-go", b"x")
os.setxattr("kept", "user.directory", b"x")
write("acl")
os.setxattr("acl", "system.posix_acl_access", ACL)
os.setxattr("default-acl", "system.posix_acl_default", ACL)
write("default-acl/heir")
os.mkdir("default-acl/heir-dir")
write("default-acl/disinherited")
os.removexattr("default-acl/disinherited", "system.posix_acl_access")

with open("sparse", "wb") as f:
    f.write(b"begin")
    f.seek(30 << 20)
    f.write(b"middle")
    f.truncate(64 << 20)
write("large", bytes(range(256)) * 4096 * 5)
write("empty", b"")

deep = "/srv/deep"
for _ in range(30):
    deep += "/" + "d" * 100
os.makedirs(deep)
write(deep + "/file")

for when, name in ((0, "epoch"), (-86400, "before-epoch"), (2**33, "far")):
    write(name)
    os.utime(name, (when, when))
