// The thread that checks passwords against their hashes: a check takes 50 ms and more, on purpose. Work
// waits in a short queue; when that is full, more is refused, not put off.

internal import Bytes
internal import CCrypt
internal import CLinux
internal import Cryptography
package import EventLoop
internal import Synchronization

/// A password to be checked.
package final class PasswordJob: Sendable {
  let password: [UInt8]
  let hash: String
  /// Whether the user exists. If not, the work is done all the same.
  let isReal: Bool
  /// What the result is remembered under.
  let memory: Digest256

  init(password: [UInt8], hash: String, isReal: Bool, memory: Digest256) {
    self.password = password
    self.hash = hash
    self.isReal = isReal
    self.memory = memory
  }

  /// Whether the password is right. Takes as long as the hash was made to take.
  package func isRight() -> Bool {
    // crypt reads C strings: what is behind a NUL would not count.
    guard !password.contains(0), password.count < Int(CRYPT_MAX_PASSPHRASE_SIZE) else {
      return false
    }
    let same = PasswordJob.matches(password, hash)
    return same && isReal
  }

  private static func matches(_ password: [UInt8], _ hash: String) -> Bool {
    // 32 KiB, too much for a stack; all zero, as crypt_rn wants it.
    let data = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<crypt_data>.size, alignment: 16)
    unsafe data.initializeMemory(
      as: UInt8.self, repeating: 0, count: MemoryLayout<crypt_data>.size)
    defer {
      // It held the password.
      unsafe explicit_bzero(data, MemoryLayout<crypt_data>.size)
      unsafe data.deallocate()
    }
    let phrase = password.map { CChar(bitPattern: $0) } + [0]
    // Safe: both strings end with NUL, and the memory has the size that is announced.
    guard
      let result = unsafe crypt_rn(phrase, hash, data, Int32(MemoryLayout<crypt_data>.size))
    else { return false }
    let found = unsafe ByteView(unsafeStart: UnsafeRawPointer(result), count: strlen(result))
    return hash.withView { ConstantTime.equal($0, found) }
  }
}

/// Checks passwords, one after the other, off the workers.
package final class PasswordChecker: Sendable {
  private struct Work: Sendable {
    let job: PasswordJob
    let reply: @Sendable (Bool) -> Void
  }

  private let queue = Mutex<[Work]>([])
  private let capacity: Int
  private let waker: Waker
  private let stopping = Atomic<Bool>(false)
  private let thread = Mutex<LoopThread?>(nil)

  /// A checker with room for `capacity` passwords in its queue.
  package init(capacity: Int = 64) throws(Errno) {
    self.capacity = capacity
    waker = try Waker()
  }

  /// Starts the thread.
  package func start() {
    thread.withLock { thread in
      guard thread == nil else { return }
      thread = LoopThread(name: "weir-passwords") { [self] in run() }
    }
  }

  /// Ends the thread after the check that it may be in. What still waits is never answered.
  package func stop() {
    stopping.store(true, ordering: .releasing)
    waker.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
    queue.withLock { $0 = [] }
  }

  /// Has a password checked; `reply` is called on the checker's thread. False if the queue is full.
  package func submit(
    _ job: PasswordJob, reply: @escaping @Sendable (Bool) -> Void
  ) -> Bool {
    let accepted = queue.withLock { queue in
      guard queue.count < capacity else { return false }
      queue.append(Work(job: job, reply: reply))
      return true
    }
    if accepted { waker.wake() }
    return accepted
  }

  private func run() {
    while !stopping.load(ordering: .acquiring) {
      if let work = queue.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
        work.reply(work.job.isRight())
      } else {
        waker.wait(milliseconds: -1)
      }
    }
  }
}
