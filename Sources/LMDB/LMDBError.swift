internal import CLMDB

/// A result code of LMDB, or an error number of the system below it.
package struct LMDBError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The code: negative for LMDB's own, positive for the system's.
  package let code: Int32

  /// The error of that code.
  package init(_ code: Int32) { self.code = code }

  /// LMDB's words for it.
  package var description: String { unsafe String(cString: mdb_strerror(code)) }

  /// No free page left in the map.
  package static let mapFull = LMDBError(MDB_MAP_FULL)
  /// Too many dirty pages in one transaction.
  package static let transactionFull = LMDBError(MDB_TXN_FULL)
  /// All slots of the reader table are taken.
  package static let readersFull = LMDBError(MDB_READERS_FULL)
  /// The key is there already, or out of order for an append.
  package static let keyExists = LMDBError(MDB_KEYEXIST)
  /// A page that should be there is not.
  package static let pageNotFound = LMDBError(MDB_PAGE_NOTFOUND)
  /// A page is not what it should be.
  package static let corrupted = LMDBError(MDB_CORRUPTED)
  /// The file is not one of LMDB's.
  package static let invalid = LMDBError(MDB_INVALID)
  /// An earlier error has made the environment unusable.
  package static let panic = LMDBError(MDB_PANIC)
  /// The disk is full.
  package static let noSpace = LMDBError(28)
  /// The disk failed.
  package static let inputOutput = LMDBError(5)
}

/// Throws unless a call succeeded.
@inline(__always)
func check(_ code: Int32) throws(LMDBError) {
  if code != MDB_SUCCESS { throw LMDBError(code) }
}
