// Files that are read again when they have changed: credentials, lists of addresses, geo databases.
//
// What a file has is published as one value, which workers take over with the next request. A file that is
// wrong, or gone, changes nothing. A file counts as changed when another stands under its path, or when
// its length or one of its times is another; which also sees a symbolic link that leads elsewhere.

internal import Authentication
internal import CLinux
package import Configuration
internal import EventLoop
package import GeoDatabase
internal import Rules
import Synchronization

/// A file that was read again.
package struct FileReload: Sendable, Equatable {
  /// Its path.
  package let path: String
  /// Why it was not taken over; nil: it was.
  package let problem: String?

  /// A line for an operator.
  package var text: String {
    problem.map { "\(path) is wrong and changes nothing: \($0)" } ?? "\(path) was read again"
  }
}

/// What tells one state of a file from another.
struct FileState: Equatable {
  private var device: UInt64 = 0
  private var number: UInt64 = 0
  private var size: Int64 = -1
  private var modified: Int64 = 0
  private var changed: Int64 = 0

  /// The state of a file now; that of one which is not there is one of its own.
  init(of path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return }
    device = UInt64(status.st_dev)
    number = UInt64(status.st_ino)
    size = Int64(status.st_size)
    modified = Self.nanoseconds(status.st_mtim)
    changed = Self.nanoseconds(status.st_ctim)
  }

  private static func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}

/// The files of a node that are read again when they have changed. Any thread may look at them; reading
/// blocks.
package final class WatchedFiles: Sendable {
  /// Why a file is not taken over.
  struct Problem: Error {
    let text: String
  }

  private struct File: Sendable {
    let path: String
    let read: @Sendable () throws(Problem) -> Void
    /// As it was when it was read.
    var known: FileState
    /// As it was at the last look.
    var seen: FileState
  }

  private let files = Mutex<[File]>([])

  /// Adds a file; `read` reads it again and publishes what it has.
  ///
  /// - Parameter state: as it was before it was read first; nil: it is to be read after this.
  func add(
    _ path: String, as state: FileState? = nil,
    read: @escaping @Sendable () throws(Problem) -> Void
  ) {
    let state = state ?? FileState(of: path)
    files.withLock { $0.append(File(path: path, read: read, known: state, seen: state)) }
  }

  /// Opens geo databases that are read again with the other files.
  package func openGeo(_ paths: [String]) -> Result<GeoSource, GeoDatabaseProblem> {
    let states = paths.map { FileState(of: $0) }
    return GeoSource.open(paths: paths).map { source in
      for (path, state) in zip(paths, states) {
        add(path, as: state) { () throws(Problem) in
          do throws(GeoDatabaseProblem) {
            try source.reload()
          } catch {
            throw Problem(text: error.message)
          }
        }
      }
      return source
    }
  }

  /// Has the files of keys and values that rules look into read again with the other files.
  package func watchMaps(of configuration: NodeConfiguration) {
    for map in configuration.ruleMaps {
      add(map.path) { () throws(Problem) in try Self.read(map) }
      // What was read with the configuration may be older than the state that was noted just now.
      try? Self.read(map)
    }
  }

  private static func read(_ map: RuleMap) throws(Problem) {
    let content: [UInt8]
    do throws(Errno) {
      content = try SmallFile.read(map.path, maxBytes: TextMap.largest)
    } catch {
      throw Problem(text: "\(error)")
    }
    do throws(TextMapProblem) {
      map.replace(with: try TextMap.parse(content))
    } catch {
      throw Problem(text: "line \(error.line): \(error.text)")
    }
  }

  /// Whether there are none.
  package var isEmpty: Bool { files.withLock { $0.isEmpty } }

  /// Reads again what has changed since it was read last; what came of it. A file that was wrong is tried
  /// again when it has changed again.
  ///
  /// - Parameter onlySettled: leaves what has changed since the last look for the next one: somebody may
  ///   still be writing it.
  package func reload(onlySettled: Bool = false) -> [FileReload] {
    files.withLock { files in
      var results: [FileReload] = []
      for index in files.indices {
        let state = FileState(of: files[index].path)
        let isSettled = state == files[index].seen
        files[index].seen = state
        guard state != files[index].known, isSettled || !onlySettled else { continue }
        files[index].known = state
        do throws(Problem) {
          try files[index].read()
          results.append(FileReload(path: files[index].path, problem: nil))
        } catch {
          results.append(FileReload(path: files[index].path, problem: error.text))
        }
      }
      return results
    }
  }
}
