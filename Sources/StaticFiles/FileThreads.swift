// The threads that wait for disks in the workers' place.
//
// A worker submits a question with a way to post the answer into its own inbox, and goes on. Each thread
// has an inbox of its own; questions go to them in turn. At most `limit` wait: more are refused at once,
// and the worker answers 503 instead of remembering ever more requests for a disk that hangs.
//
// What is read while a file is being sent goes the same way, but only when it is cold: `OpenFile.read`
// asks the kernel for what is in memory and says `cold` otherwise; then the worker lets a thread read that
// piece (`read`) and goes on with its bytes.

package import EventLoop
import Synchronization

/// See the top of this file.
package final class FileThreads: Sendable {
  private typealias Work = @Sendable () -> Void

  private let inboxes: [Inbox<Work?>]
  private let limit: Int
  private let waiting = Atomic<Int>(0)
  private let turn = Atomic<Int>(0)
  private let threads = Mutex<[LoopThread]>([])

  /// Starts so many threads, at least one; at most `limit` questions wait.
  package init(count: Int = 2, limit: Int = 1024) throws(Errno) {
    var inboxes: [Inbox<Work?>] = []
    for _ in 0..<max(count, 1) { inboxes.append(try Inbox()) }
    self.inboxes = inboxes
    self.limit = max(limit, 1)
    threads.withLock { threads in
      threads = inboxes.map { inbox in
        LoopThread(name: "weir-files") { [self] in run(inbox) }
      }
    }
  }

  /// Lets a thread answer a request; `then` is called there and must only post. False: too many wait.
  package func submit(
    _ request: FileRequest, to site: FileSite, now: Int64,
    then: @escaping @Sendable (FileAnswer) -> Void
  ) -> Bool {
    enqueue { then(site.answer(request, now: now)) }
  }

  /// Lets a thread read a piece of a file; `then` gets its bytes, nil if the file has become shorter.
  /// False: too many wait.
  package func read(
    _ file: OpenFile, at offset: Int, count: Int, then: @escaping @Sendable ([UInt8]?) -> Void
  ) -> Bool {
    enqueue {
      var isGood = false
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(count, 0)) { buffer, written in
        let result = unsafe file.readWaiting(
          into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        if case .bytes(let count) = result {
          written = count
          isGood = true
        }
      }
      then(isGood ? bytes : nil)
    }
  }

  /// Ends the threads after what is waiting.
  package func stop() {
    for inbox in inboxes { inbox.post(nil) }
    threads.withLock { threads in
      for thread in threads { thread.join() }
      threads = []
    }
  }

  private func enqueue(_ work: @escaping Work) -> Bool {
    guard waiting.add(1, ordering: .relaxed).newValue <= limit else {
      waiting.subtract(1, ordering: .relaxed)
      return false
    }
    let number = turn.add(1, ordering: .relaxed).newValue
    inboxes[Int(number.magnitude % UInt(inboxes.count))].post(work)
    return true
  }

  private func run(_ inbox: Inbox<Work?>) {
    while true {
      for work in inbox.take() {
        guard let work else { return }
        work()
        waiting.subtract(1, ordering: .relaxed)
      }
      inbox.waker.wait(milliseconds: -1)
    }
  }
}
