// The threads that wait for disks in the workers' place.
//
// A worker submits a question with a way to post the answer into its own inbox, and goes on. All threads
// take from one list, one question at a time: a disk that hangs holds up one of them. At most `limit` wait:
// more are refused at once, and the worker answers 503 instead of remembering ever more requests for a disk
// that hangs.
//
// What is read while a file is being sent goes the same way, but only when it is cold: `OpenFile.read`
// asks the kernel for what is in memory and says `cold` otherwise; then the worker lets a thread read that
// piece (`read`) and goes on with its bytes.

package import EventLoop
import Synchronization

/// See the top of this file.
package final class FileThreads: Sendable {
  private typealias Work = @Sendable () -> Void

  private struct Questions {
    var list: [Work] = []
    var next = 0
    var isEnding = false
  }

  private let questions = Mutex(Questions())
  private let wakers: [Waker]
  private let limit: Int
  private let waiting = Atomic<Int>(0)
  private let threads = Mutex<[LoopThread]>([])

  /// Starts so many threads, at least one; at most `limit` questions wait.
  package init(count: Int = 2, limit: Int = 1024) throws(Errno) {
    var wakers: [Waker] = []
    for _ in 0..<max(count, 1) { wakers.append(try Waker()) }
    self.wakers = wakers
    self.limit = max(limit, 1)
    threads.withLock { threads in
      threads = wakers.map { waker in
        LoopThread(name: "weir-files") { [self] in run(waker) }
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
    questions.withLock { $0.isEnding = true }
    for waker in wakers { waker.wake() }
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
    questions.withLock { $0.list.append(work) }
    for waker in wakers { waker.wake() }
    return true
  }

  private func run(_ waker: Waker) {
    while true {
      let (work, isEnding) = questions.withLock { questions -> (Work?, Bool) in
        guard questions.next < questions.list.count else {
          questions.list.removeAll()
          questions.next = 0
          return (nil, questions.isEnding)
        }
        questions.next += 1
        return (questions.list[questions.next - 1], false)
      }
      if let work {
        work()
        waiting.subtract(1, ordering: .relaxed)
      } else if isEnding {
        return
      } else {
        waker.wait(milliseconds: -1)
      }
    }
  }
}
