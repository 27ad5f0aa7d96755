// LMDB 0.9 with the few things the store needs: one environment, databases whose keys are 64-bit
// integers, readers that belong to no thread (MDB_NOTLS), and one writer at a time.
//
// Values are views into the map. A view from a read transaction is good until the transaction is reset;
// one from a write transaction until its next change. Neither is checked by the compiler (see ByteView).

internal import CLMDB

/// A database within an environment; its keys are 64-bit integers in ascending order.
package struct Database: Sendable {
  let handle: UInt32
  /// The free list, for its statistics only.
  package static let freeList = Database(handle: 0)
  /// The database of databases, for its statistics only.
  package static let names = Database(handle: 1)
}

/// How large a database is.
package struct DatabaseSize: Sendable, Equatable {
  /// Entries.
  package var entries: Int
  /// Pages of all kinds.
  package var pages: Int
}

/// A data file with its map. Closed when the owner goes; nothing of it may be in use then.
@safe
package struct Environment: ~Copyable, @unchecked Sendable {
  // Sendable because LMDB's environment may be used from any thread.
  private let handle: OpaquePointer
  /// Bytes of a page.
  package let pageSize: Int
  /// Bytes of the map: the file never grows past it.
  package let mapSize: Int

  private init(handle: OpaquePointer, pageSize: Int, mapSize: Int) {
    unsafe self.handle = handle
    self.pageSize = pageSize
    self.mapSize = mapSize
  }

  deinit { unsafe mdb_env_close(handle) }

  /// Opens the environment in a directory, making its files if they are missing.
  ///
  /// One process may open a directory only once. `readers` is the number of read transactions that may
  /// exist at a time in all processes.
  package static func open(directory: String, mapSize: Int, readers: Int, databases: Int)
    throws(LMDBError) -> Environment
  {
    var made: OpaquePointer?
    try unsafe check(mdb_env_create(&made))
    guard let handle = unsafe made else { throw .panic }
    do throws(LMDBError) {
      try unsafe check(mdb_env_set_mapsize(handle, mapSize))
      try unsafe check(mdb_env_set_maxreaders(handle, UInt32(clamping: readers)))
      try unsafe check(mdb_env_set_maxdbs(handle, UInt32(clamping: databases)))
      let flags = UInt32(MDB_NOTLS | MDB_NORDAHEAD)
      try unsafe check(mdb_env_open(handle, directory, flags, 0o640))
      var stale: Int32 = 0
      try unsafe check(mdb_reader_check(handle, &stale))
      var stat = MDB_stat()
      try unsafe check(mdb_env_stat(handle, &stat))
      var info = unsafe MDB_envinfo()
      try unsafe check(mdb_env_info(handle, &info))
      return unsafe Environment(
        handle: handle, pageSize: Int(stat.ms_psize), mapSize: info.me_mapsize)
    } catch {
      // The handle must be closed even if opening failed.
      unsafe mdb_env_close(handle)
      throw error
    }
  }

  /// Takes back the places of readers whose processes have ended: what was freed since one of them began to read
  /// is not used again before.
  package func dropStaleReaders() {
    var stale: Int32 = 0
    _ = unsafe mdb_reader_check(handle, &stale)
  }

  /// Pages of the file that were ever used.
  package var usedPages: Int {
    var info = unsafe MDB_envinfo()
    return unsafe mdb_env_info(handle, &info) == MDB_SUCCESS ? info.me_last_pgno + 1 : 0
  }

  /// The data file's descriptor, open as long as the environment.
  package var dataFile: Int32 {
    var descriptor: Int32 = -1
    _ = unsafe mdb_env_get_fd(handle, &descriptor)
    return descriptor
  }

  /// Begins a transaction that reads the newest commit.
  package func beginRead() throws(LMDBError) -> ReadTransaction {
    var made: OpaquePointer?
    try unsafe check(mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &made))
    guard let transaction = unsafe made else { throw .panic }
    return unsafe ReadTransaction(handle: transaction)
  }

  /// Begins the transaction that writes; waits for another one to end.
  package func beginWrite() throws(LMDBError) -> WriteTransaction {
    var made: OpaquePointer?
    try unsafe check(mdb_txn_begin(handle, nil, 0, &made))
    guard let transaction = unsafe made else { throw .panic }
    return unsafe WriteTransaction(handle: transaction)
  }
}
