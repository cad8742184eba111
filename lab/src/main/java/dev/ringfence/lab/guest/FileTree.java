package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The files of an initramfs before it is written, by path without a leading slash. Later files take
 * the place of earlier ones. A path that leads through a symbolic link to a folder follows it, as
 * it does when packages are unpacked over each other: that is how {@code /bin/ls} of one package
 * lands in {@code /usr/bin} beside the files of another.
 */
final class FileTree {
  private static final int MOST_LINKS = 40;

  /** What a path names; permissions are those of chmod, owner and group are numbers. */
  sealed interface Node {
    /** A folder. */
    record Folder(int permissions, int owner, int group) implements Node {}

    /** A file whose content is in the spool. */
    record RegularFile(int permissions, int owner, int group, Spool.Range content)
        implements Node {}

    /** A symbolic link. */
    record Symlink(String target) implements Node {}

    /** Another name of a regular file. */
    record HardLink(String target) implements Node {}

    /** A character or block device. */
    record Device(boolean block, int permissions, int owner, int group, int major, int minor)
        implements Node {}

    /** A named pipe. */
    record Pipe(int permissions, int owner, int group) implements Node {}
  }

  private final TreeMap<String, Node> nodes = new TreeMap<>();

  /** Paths in ascending order, so that a folder comes before what is in it. */
  SortedMap<String, Node> nodes() {
    return nodes;
  }

  /** What a path names, without following a link at its end, or null. */
  @Nullable Node get(String path) {
    return nodes.get(path);
  }

  boolean has(String path) {
    return nodes.containsKey(resolve(path));
  }

  /** Puts a file into the tree; folders above it come into being. */
  void put(String path, Node node) {
    String place = resolve(path);
    if (place.isEmpty()) {
      return;
    }
    Node old = nodes.get(place);
    if (node instanceof Node.Folder && old instanceof Node.Symlink) {
      // A package's own /bin/ must not replace the link to /usr/bin.
      return;
    }
    if (old instanceof Node.Folder && !(node instanceof Node.Folder) && hasChildren(place)) {
      throw new BadInputException(
          "/%s: expected a folder as before, found another kind of file over it".formatted(place));
    }
    for (int slash = place.indexOf('/'); slash >= 0; slash = place.indexOf('/', slash + 1)) {
      String parent = place.substring(0, slash);
      Node above = nodes.putIfAbsent(parent, new Node.Folder(0755, 0, 0));
      if (above != null && !(above instanceof Node.Folder)) {
        throw new BadInputException(
            "/%s: expected a folder for /%s, found another kind of file".formatted(parent, place));
      }
    }
    nodes.put(place, node);
  }

  private boolean hasChildren(String path) {
    String next = nodes.higherKey(path + "/");
    return next != null && next.startsWith(path + "/");
  }

  /**
   * The path with dots removed and links to folders followed, all but the last part.
   *
   * @throws BadInputException if the links go round in a circle
   */
  String resolve(String path) {
    Deque<String> open = new ArrayDeque<>(parts(path));
    Deque<String> done = new ArrayDeque<>();
    int links = 0;
    while (!open.isEmpty()) {
      String part = open.remove();
      if (part.equals("..")) {
        done.pollLast();
        continue;
      }
      done.addLast(part);
      String here = String.join("/", done);
      if (!open.isEmpty() && nodes.get(here) instanceof Node.Symlink(String target)) {
        links++;
        if (links > MOST_LINKS) {
          throw new BadInputException(
              "/%s: expected at most %d symbolic links on the way, found more"
                  .formatted(path, MOST_LINKS));
        }
        done.removeLast();
        if (target.startsWith("/")) {
          done.clear();
        }
        List<String> targetParts = parts(target);
        for (int i = targetParts.size() - 1; i >= 0; i--) {
          open.addFirst(targetParts.get(i));
        }
      }
    }
    return String.join("/", done);
  }

  private static List<String> parts(String path) {
    return Arrays.stream(path.split("/"))
        .filter(part -> !part.isEmpty() && !part.equals("."))
        .toList();
  }
}
