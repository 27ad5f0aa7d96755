// Compresses a log's files that were put aside (RotatedFiles.swift), on a thread of its own that gets what
// others leave of the processors: not the log's thread, for a file of 256 MiB takes seconds and lines come
// meanwhile.
//
// A file is replaced only by one that is whole and on the disk; one that could not be compressed stays what
// it is until the next time, and so does one at which the process ends.

internal import CLinux
internal import EventLoop
internal import Synchronization

/// See the top of the file.
final class LogCompressor: Sendable {
  private let work: Work
  private let thread: LoopThread

  /// Starts the thread, which first does what an earlier process has left.
  init(_ files: RotatedFiles) throws(Errno) {
    let work = try Work(files)
    self.work = work
    thread = LoopThread(name: "weir-log-gzip") { work.run() }
    work.waker.wake()
  }

  deinit {
    work.isOver.store(true, ordering: .releasing)
    work.waker.wake()
    thread.join()
  }

  /// Says that a file was put aside.
  func wake() { work.waker.wake() }

  /// What kept a file from being compressed since the last time this was asked.
  func takeError() -> Errno? {
    let code = work.error.exchange(0, ordering: .relaxed)
    return code == 0 ? nil : Errno(code)
  }

  private final class Work: Sendable {
    let files: RotatedFiles
    let waker: Waker
    let isOver = Atomic<Bool>(false)
    let error = Atomic<Int32>(0)

    init(_ files: RotatedFiles) throws(Errno) {
      self.files = files
      waker = try Waker()
    }

    func run() {
      weir_make_patient()
      while true {
        waker.wait(milliseconds: -1)
        for name in files.uncompressed() {
          if isOver.load(ordering: .acquiring) { return }
          if let problem = compress(name) { error.store(problem.code, ordering: .relaxed) }
        }
        if isOver.load(ordering: .acquiring) { return }
      }
    }

    private func compress(_ name: String) -> Errno? {
      let source = unsafe weir_open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0)
      // It may have been moved on meanwhile; then it has its turn by another name.
      guard source >= 0 else { return weir_errno() == ENOENT ? nil : .current }
      defer { _ = close(source) }
      guard let identity = FileIdentity(source) else { return .current }
      let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC
      let target = unsafe weir_open(files.part, flags, 0o640)
      guard target >= 0 else { return .current }
      defer { _ = close(target) }
      // Another process of this log is at it.
      guard flock(target, LOCK_EX | LOCK_NB) == 0 else { return nil }
      guard ftruncate(target, 0) == 0 else { return .current }
      let outcome = copy(from: source, to: target)
      guard case .whole = outcome else {
        _ = unsafe unlink(files.part)
        if case .failed(let error) = outcome { return error }
        return nil
      }
      // As old as its last line, which is what `keep_for` counts from.
      _ = weir_set_changed(target, time_t(identity.changed))
      guard fsync(target) == 0 else { return .current }
      return files.replace(identity)
    }

    private enum Outcome {
      case whole, stopped
      case failed(Errno)
    }

    private func copy(from source: Int32, to target: Int32) -> Outcome {
      guard let stream = GzipStream() else { return .failed(Errno(ENOMEM)) }
      var buffer = [UInt8](repeating: 0, count: 64 << 10)
      while !isOver.load(ordering: .relaxed) {
        // Safe: the pointer is the array's own and used within the call only.
        let count = unsafe buffer.withUnsafeMutableBytes {
          unsafe read(source, $0.baseAddress, $0.count)
        }
        if count < 0 && weir_errno() == EINTR { continue }
        if count < 0 { return .failed(.current) }
        let isEnd = count == 0
        var problem: Errno?
        let isWritten = stream.feed(buffer[..<count], isEnd: isEnd) { piece in
          // Safe: the pointer is the slice's own and used within the call only.
          problem = unsafe piece.withUnsafeBytes { unsafe WholeWrite.append($0, to: target) }
          return problem == nil
        }
        // If not that, zlib itself has failed.
        guard isWritten else { return .failed(problem ?? Errno(EIO)) }
        if isEnd { return .whole }
      }
      return .stopped
    }
  }
}
