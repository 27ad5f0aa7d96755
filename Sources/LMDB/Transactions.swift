package import Bytes
internal import CLMDB

/// Reads one commit. Used by one thread at a time; aborted when the owner goes, before the environment.
@safe
package struct ReadTransaction: ~Copyable, @unchecked Sendable {
  // Sendable because with MDB_NOTLS a reader belongs to no thread.
  private let handle: OpaquePointer
  /// Whether it holds a commit: between `renew` and `reset`.
  package private(set) var isActive = true
  private var isClosed = false

  init(handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { if !isClosed { unsafe mdb_txn_abort(handle) } }

  /// Gives its place in the reader table back, for an owner that cannot order its end before the
  /// environment's otherwise. Nothing may be called afterwards.
  package mutating func close() {
    guard !isClosed else { return }
    unsafe mdb_txn_abort(handle)
    isActive = false
    isClosed = true
  }

  /// Lets the commit go. Every view is void.
  package mutating func reset() {
    guard isActive else { return }
    unsafe mdb_txn_reset(handle)
    isActive = false
  }

  /// Takes the newest commit, after a reset.
  package mutating func renew() throws(LMDBError) {
    if isActive { reset() }
    try unsafe check(mdb_txn_renew(handle))
    isActive = true
  }

  /// The value of a key.
  @inline(__always)
  package borrowing func get(_ database: Database, _ key: UInt64) throws(LMDBError) -> ByteView? {
    precondition(isActive, "a reset transaction cannot read")
    return try unsafe value(handle, database, key)
  }

  /// Calls `body` with each entry from `first` on, ascending, until it returns false.
  package borrowing func scan(
    _ database: Database, from first: UInt64 = 0, _ body: (UInt64, ByteView) -> Bool
  ) throws(LMDBError) {
    precondition(isActive, "a reset transaction cannot read")
    try unsafe entries(handle, database, from: first, body)
  }

  /// How large a database is.
  package borrowing func size(_ database: Database) throws(LMDBError) -> DatabaseSize {
    try unsafe databaseSize(handle, database)
  }
}

/// Changes the environment; aborted when the owner goes without a commit. Used by one thread.
@safe
package struct WriteTransaction: ~Copyable {
  private let handle: OpaquePointer

  init(handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { unsafe mdb_txn_abort(handle) }

  /// Opens a database, making it if it is missing. The handle is good once this transaction commits.
  package borrowing func open(_ name: String) throws(LMDBError) -> Database {
    var database: UInt32 = 0
    try unsafe check(mdb_dbi_open(handle, name, UInt32(MDB_CREATE | MDB_INTEGERKEY), &database))
    return Database(handle: database)
  }

  /// Makes the changes durable and visible: data pages first, then the page that names them.
  package consuming func commit() throws(LMDBError) {
    let handle = unsafe self.handle
    discard self
    try unsafe check(mdb_txn_commit(handle))
  }

  /// The value of a key; good until the next change.
  package borrowing func get(_ database: Database, _ key: UInt64) throws(LMDBError) -> ByteView? {
    try unsafe value(handle, database, key)
  }

  /// Puts a value. `append` is for a key above all others.
  package borrowing func put(
    _ database: Database, _ key: UInt64, _ bytes: ByteView, append: Bool = false
  ) throws(LMDBError) {
    var name = key
    // Safe: LMDB reads `count` bytes and keeps neither address.
    try unsafe withUnsafeMutablePointer(to: &name) { name throws(LMDBError) in
      var key = unsafe MDB_val(mv_size: 8, mv_data: name)
      var value = unsafe MDB_val(
        mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
      try unsafe check(mdb_put(handle, database.handle, &key, &value, append ? appendFlag : 0))
    }
  }

  /// Puts a value of `size` bytes that `fill` writes in place; it must write all of them and change
  /// nothing else in the transaction.
  package borrowing func put(
    _ database: Database, _ key: UInt64, size: Int, append: Bool = false,
    _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) throws(LMDBError) {
    var name = key
    let flags = UInt32(MDB_RESERVE) | (append ? appendFlag : 0)
    try unsafe withUnsafeMutablePointer(to: &name) { name throws(LMDBError) in
      var key = unsafe MDB_val(mv_size: 8, mv_data: name)
      var value = unsafe MDB_val(mv_size: size, mv_data: nil)
      try unsafe check(mdb_put(handle, database.handle, &key, &value, flags))
      // Safe: LMDB has reserved `size` bytes there, ours until the next change.
      unsafe fill(UnsafeMutableRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }
  }

  /// Deletes a key; false if it is not there.
  @discardableResult
  package borrowing func delete(_ database: Database, _ key: UInt64) throws(LMDBError) -> Bool {
    var name = key
    return try unsafe withUnsafeMutablePointer(to: &name) { name throws(LMDBError) in
      var key = unsafe MDB_val(mv_size: 8, mv_data: name)
      let code = unsafe mdb_del(handle, database.handle, &key, nil)
      if code == MDB_NOTFOUND { return false }
      try check(code)
      return true
    }
  }

  /// Calls `body` with each entry from `first` on, ascending, until it returns false. It must change
  /// nothing.
  package borrowing func scan(
    _ database: Database, from first: UInt64 = 0, _ body: (UInt64, ByteView) -> Bool
  ) throws(LMDBError) {
    try unsafe entries(handle, database, from: first, body)
  }

  /// How large a database is, with this transaction's changes.
  package borrowing func size(_ database: Database) throws(LMDBError) -> DatabaseSize {
    try unsafe databaseSize(handle, database)
  }
}

private let appendFlag = UInt32(MDB_APPEND)

@inline(__always)
private func value(_ transaction: OpaquePointer, _ database: Database, _ key: UInt64)
  throws(LMDBError) -> ByteView?
{
  var name = key
  var found = unsafe MDB_val()
  let code = unsafe withUnsafeMutablePointer(to: &name) { name in
    var key = unsafe MDB_val(mv_size: 8, mv_data: name)
    return unsafe mdb_get(transaction, database.handle, &key, &found)
  }
  if code == MDB_NOTFOUND { return nil }
  try check(code)
  return unsafe view(found)
}

@inline(__always)
private func view(_ value: MDB_val) -> ByteView {
  guard let start = unsafe value.mv_data else { return ByteView() }
  return unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: value.mv_size)
}

private func entries(
  _ transaction: OpaquePointer, _ database: Database, from first: UInt64,
  _ body: (UInt64, ByteView) -> Bool
) throws(LMDBError) {
  var made: OpaquePointer?
  var code = unsafe mdb_cursor_open(transaction, database.handle, &made)
  guard code == MDB_SUCCESS, let cursor = unsafe made else { throw LMDBError(code) }
  // The cursor is closed here, before its transaction can end.
  defer { unsafe mdb_cursor_close(cursor) }
  var start = first
  var key = unsafe MDB_val()
  var found = unsafe MDB_val()
  code = unsafe withUnsafeMutablePointer(to: &start) { start in
    unsafe key = MDB_val(mv_size: 8, mv_data: start)
    return unsafe mdb_cursor_get(cursor, &key, &found, MDB_SET_RANGE)
  }
  while code == MDB_SUCCESS {
    let name = unsafe view(key)
    guard name.count == 8 else { throw .corrupted }
    guard body(name.uint64(at: 0), unsafe view(found)) else { return }
    code = unsafe mdb_cursor_get(cursor, &key, &found, MDB_NEXT)
  }
  if code != MDB_NOTFOUND { throw LMDBError(code) }
}

private func databaseSize(_ transaction: OpaquePointer, _ database: Database)
  throws(LMDBError) -> DatabaseSize
{
  var stat = MDB_stat()
  try unsafe check(mdb_stat(transaction, database.handle, &stat))
  return DatabaseSize(
    entries: stat.ms_entries,
    pages: stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages)
}
