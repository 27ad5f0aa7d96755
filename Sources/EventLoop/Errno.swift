internal import CLinux

/// An error number of the kernel.
package struct Errno: Error, Equatable, Sendable, CustomStringConvertible {
  /// The number.
  package let code: Int32

  /// The error of that number.
  package init(_ code: Int32) { self.code = code }

  /// What the calling thread's last system call left.
  package static var current: Errno { Errno(weir_errno()) }

  /// The system's words for it.
  package var description: String { unsafe String(cString: strerror(code)) }

  /// Would block.
  package static let wouldBlock = Errno(EAGAIN)
  /// No descriptor left for the process.
  package static let tooManyFiles = Errno(EMFILE)
  /// The connection was reset.
  package static let connectionReset = Errno(ECONNRESET)
  /// Address in use.
  package static let addressInUse = Errno(EADDRINUSE)
}

/// A system call's outcome, without an existential or an allocation: at least 0 is a count.
@usableFromInline
package struct IOResult: Sendable, Equatable {
  @usableFromInline let value: Int

  /// What a system call returned, with the errno it set.
  @inline(__always)
  init(returned: Int) { value = returned >= 0 ? returned : -Int(weir_errno()) }

  /// So many bytes, of something that is no system call but behaves like one.
  package static func bytes(_ count: Int) -> IOResult { IOResult(value: count) }
  /// Nothing before the next event.
  package static var blocked: IOResult { IOResult(value: -Int(EAGAIN)) }
  /// A failure.
  package static func failed(_ error: Errno) -> IOResult { IOResult(value: -Int(error.code)) }

  private init(value: Int) { self.value = value }

  /// How many bytes; nil if the call failed.
  @inlinable package var count: Int? { value >= 0 ? value : nil }
  /// Whether it would have blocked.
  package var wouldBlock: Bool { value == -Int(EAGAIN) }
  /// Whether the peer has ended its side (a read of nothing).
  @inlinable package var isEnd: Bool { value == 0 }
  /// The error; nil for a count.
  package var error: Errno? { value >= 0 ? nil : Errno(Int32(truncatingIfNeeded: -value)) }
}

/// Repeats a call that a signal interrupted. EBADF and EFAULT are our own mistakes and trap.
@inline(__always)
func retrying(_ call: () -> Int) -> IOResult {
  while true {
    let result = IOResult(returned: call())
    if let error = result.error {
      if error.code == EINTR { continue }
      precondition(error.code != EBADF && error.code != EFAULT, "system call on a wrong descriptor")
    }
    return result
  }
}
