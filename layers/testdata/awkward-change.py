# Changes what awkward-make.py and the base made, in every way that a layer
# must express.
import os
import shutil
import stat
import struct

os.chdir("/srv/a")


def write(path, content=b"changed", mode=0o644):
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, mode)


# Deletions: in the layer beneath, in the base, and of what never shipped.
for path in ("gone", "char-gone", "/etc/issue", "/usr/share/common-licenses/GPL"):
    os.remove(path)
for path in ("gone-dir", "/usr/share/debconf", "/usr/share/perl5"):
    shutil.rmtree(path)
write("passing")
os.remove("passing")

# Directories made anew, with and without what was in them.
for path in ("opaque", "emptied", "/usr/share/keyrings"):
    shutil.rmtree(path)
    os.mkdir(path)
write("opaque/fresh")
os.mkdir("opaque/deep")
shutil.copytree("kept", "moved")
shutil.rmtree("b/c")
os.mkdir("b/c")
os.chmod("b/c", 0o1770)

# Directories of the layers beneath that only get another name, one of them with
# a deletion in it, and twice.
os.rename("/usr/share/base-files", "/usr/share/renamed")
os.rename("/usr/share/common-licenses", "licenses")
write("licenses/own")
os.rename("licenses", "moved/licenses")

# Other types.
os.remove("to-dir")
os.mkdir("to-dir")
write("to-dir/inside")
shutil.rmtree("to-file")
write("to-file")
os.remove("to-link")
os.symlink("file", "to-link")
shutil.rmtree("to-link-dir")
os.symlink("kept", "to-link-dir")
os.remove("to-fifo")
os.mkfifo("to-fifo")
os.remove("to-device")
os.mknod("to-device", stat.S_IFCHR | 0o600, os.makedev(1, 7))
os.remove("fifo")
write("fifo")
os.remove("char")
os.mknod("char", stat.S_IFBLK | 0o600, os.makedev(7, 3))
# A link to a directory becomes a directory: what it led to stays as it was.
os.remove("dir-link")
os.mkdir("dir-link")
write("dir-link/inside", b"not kept/inside")
os.remove("dangling")
os.symlink("somewhere", "dangling")

# Hard links: of what is beneath, and what becomes of the other names.
os.link("/etc/debian_version", "version-too")
os.link("file", "b/file-too")
os.remove("unlinked")
with open("b/linked-too", "ab") as f:
    f.write(b" more")
write("pair-1")
os.link("pair-1", "kept/pair-2")
os.link("pair-1", "b/c/pair-3")

# Only metadata.
os.chown("/usr/share/zoneinfo", 70000, 70000)
os.chown("owned", 1, 2)
os.chmod("owned", 0o2700)
os.chmod("/opt", 0o711)
os.lchown("file-link", 5, 6)
os.utime("touched", (1, 1))
os.utime("/usr/share/man", (2, 2))
os.utime("file-link", (3, 3), follow_symlinks=False)
os.chown("capable", 3, 3)  # drops the capability
os.setxattr("setuid", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
os.removexattr("attributes", "user.to-go")
os.setxattr("attributes", "user.text", b"other text")
os.setxattr("/usr/share/man", "user.directory", b"y")
os.removexattr("acl", "system.posix_acl_access")
os.removexattr("default-acl", "system.posix_acl_default")
write("default-acl/no-heir")
os.chmod("closed", 0o2000)

# Content: in the middle of a sparse file, grown and shrunk ones.
with open("sparse", "r+b") as f:
    f.seek(50 << 20)
    f.write(b"late")
os.truncate("large", 70000)
with open("/etc/profile", "ab") as f:
    f.write(b"# more\n")
for name in (b"new\nline", b"\xff\xfe not utf-8"):
    write(name, b"changed " + name)
os.remove(b"-rf *")
