internal import COpenSSL

/// What OpenSSL said about a call that failed.
package struct OpenSSLError: Error, Equatable, Sendable, CustomStringConvertible {
  /// OpenSSL's packed code; 0 if it left none.
  package let code: UInt

  /// OpenSSL's words for it.
  package var description: String {
    guard code != 0 else { return "OpenSSL gave no reason" }
    guard let reason = unsafe ERR_reason_error_string(code) else { return "OpenSSL error \(code)" }
    // Safe: OpenSSL's reasons are constant C strings.
    return unsafe String(cString: reason)
  }
}

/// OpenSSL's queue of errors, which belongs to the thread: cleared before a call whose failure is
/// looked at, drained behind it, so that no call is charged with what another one left.
package enum ErrorQueue {
  /// Forgets what earlier calls left.
  package static func clear() { ERR_clear_error() }

  /// The first error, which is the deepest and so the cause; the rest is forgotten.
  package static func drain() -> OpenSSLError {
    let code = ERR_get_error()
    ERR_clear_error()
    return OpenSSLError(code: code)
  }
}

/// Throws unless a call returned 1, as OpenSSL's calls do.
@inline(__always)
func check(_ result: Int32) throws(OpenSSLError) {
  if result != 1 { throw ErrorQueue.drain() }
}

/// The object that a call made; throws if it made none.
@inline(__always)
func made(_ object: OpaquePointer?) throws(OpenSSLError) -> OpaquePointer {
  guard let object = unsafe object else { throw ErrorQueue.drain() }
  return unsafe object
}
