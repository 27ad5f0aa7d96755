import EventLoop
import Synchronization
import Testing

@testable import StaticFiles

@Suite struct ThreadTests {
  @Test func `threads answer, and read what is cold`() async throws {
    let directory = Directory()
    directory.write("a", "0123456789")
    let site = try directory.site()
    let threads = try FileThreads(count: 2)
    let answer = await withCheckedContinuation { continuation in
      let request = FileRequest(path: Array("/a".utf8))
      #expect(threads.submit(request, to: site, now: now) { continuation.resume(returning: $0) })
    }
    #expect(answer.status == 200)
    guard case .file(let file, _, _) = answer.content else { return #expect(Bool(false)) }
    func read(at offset: Int) async -> [UInt8]? {
      await withCheckedContinuation { continuation in
        #expect(threads.read(file, at: offset, count: 4) { continuation.resume(returning: $0) })
      }
    }
    #expect(await read(at: 8) == Array("89".utf8))
    #expect(await read(at: 10) == [])
    #expect(await read(at: 11) == [])
    threads.stop()
  }

  @Test func `only so many wait`() throws {
    let directory = Directory()
    directory.write("a", "")
    let site = try directory.site()
    let threads = try FileThreads(count: 1, limit: 3)
    let isHeld = try Waker()
    let goOn = try Waker()
    let request = FileRequest(path: Array("/a".utf8))
    #expect(
      threads.submit(request, to: site, now: now) { _ in
        isHeld.wake()
        goOn.wait(milliseconds: -1)
      })
    isHeld.wait(milliseconds: -1)
    let answered = Atomic<Int>(0)
    #expect(
      threads.submit(request, to: site, now: now) { _ in answered.add(1, ordering: .relaxed) })
    #expect(
      threads.submit(request, to: site, now: now) { _ in answered.add(1, ordering: .relaxed) })
    #expect(
      !threads.submit(request, to: site, now: now) { _ in answered.add(1, ordering: .relaxed) })
    goOn.wake()
    threads.stop()
    #expect(answered.load(ordering: .relaxed) == 2)
  }
}
