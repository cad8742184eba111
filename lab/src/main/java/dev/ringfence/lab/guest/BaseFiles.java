package dev.ringfence.lab.guest;

import java.util.List;

/**
 * What Debian's installer and maintainer scripts would have made: folders, the links of the merged
 * /usr, and the few files of /etc that programs look for.
 */
final class BaseFiles {
  private BaseFiles() {}

  /** Folders and links, before any package: files of packages then follow the links. */
  static void addFolders(Initramfs initramfs) {
    for (String folder :
        List.of(
            "dev",
            "etc",
            "home",
            "mnt",
            "opt",
            "proc",
            "run",
            "srv",
            "sys",
            "usr",
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "usr/local",
            "usr/local/bin",
            "usr/local/sbin",
            "usr/share",
            "var",
            "var/cache",
            "var/lib",
            "var/log",
            "var/spool")) {
      initramfs.folder(folder, 0755);
    }
    initramfs.folder("root", 0700).folder("tmp", 01777).folder("var/tmp", 01777);
    for (String folder : List.of("bin", "sbin", "lib", "lib64")) {
      initramfs.symlink(folder, "usr/" + folder);
    }
    initramfs.symlink("var/run", "/run").symlink("var/lock", "/run/lock");
    initramfs.characterDevice("dev/console", 0600, 5, 1).characterDevice("dev/null", 0666, 1, 3);
  }

  /** Files of /etc that are still missing. */
  static void addSettings(Initramfs initramfs) {
    add(
        initramfs,
        "etc/passwd",
        """
        root:x:0:0:root:/root:/bin/sh
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
        """);
    add(
        initramfs,
        "etc/group",
        """
        root:x:0:
        daemon:x:1:
        tty:x:5:
        disk:x:6:
        nogroup:x:65534:
        """);
    add(
        initramfs,
        "etc/hosts",
        """
        127.0.0.1 localhost ringfence
        ::1 localhost
        """);
    add(initramfs, "etc/hostname", "ringfence\n");
    add(
        initramfs,
        "etc/nsswitch.conf",
        """
        passwd: files
        group: files
        hosts: files
        """);
    add(initramfs, "etc/profile", "PS1='\\u@\\h:\\w\\$ '\n");
  }

  private static void add(Initramfs initramfs, String path, String content) {
    if (!initramfs.has(path)) {
      initramfs.file(path, 0644, content);
    }
  }
}
