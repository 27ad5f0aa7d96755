internal import Synchronization

/// Databases that may be read anew while they are in use.
///
/// Whoever looks up keeps the database that it has got, and looks at the generation, which costs an
/// atomic load, to know when to get the next one. The former one goes when the last has.
package final class GeoSource: Sendable {
  /// The files.
  package let paths: [String]
  private let number = Atomic<UInt64>(1)
  private let database: Mutex<GeoDatabase>

  private init(_ paths: [String], _ database: GeoDatabase) {
    self.paths = paths
    self.database = Mutex(database)
  }

  /// Opens databases; the first that has a value for an address gives it.
  package static func open(paths: [String]) -> Result<GeoSource, GeoDatabaseProblem> {
    GeoDatabase.open(paths: paths).map { GeoSource(paths, $0) }
  }

  /// Grows each time that the files are read.
  package var generation: UInt64 { number.load(ordering: .acquiring) }

  /// The databases as they were read last.
  package var current: (database: GeoDatabase, generation: UInt64) {
    database.withLock { ($0, number.load(ordering: .relaxed)) }
  }

  /// Reads the files again. If one is no database any more, all stays as it is.
  package func reload() throws(GeoDatabaseProblem) {
    let new = try GeoDatabase.open(paths: paths).get()
    database.withLock {
      $0 = new
      number.add(1, ordering: .releasing)
    }
  }
}
