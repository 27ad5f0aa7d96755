import Bytes
import Glibc
import HTTP1
import HTTPMessage
import Testing

/// Memory whose last byte is followed by a page that cannot be read: a parser that reads one byte too
/// far ends the test process.
@safe
final class GuardedPages {
  private let start: UnsafeMutableRawPointer  // Of this object until deinit.
  private let size: Int

  /// Memory for at most `capacity` bytes.
  init(capacity: Int) throws {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    size = (capacity + page - 1) / page * page
    let memory = unsafe mmap(
      nil, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    unsafe start = try #require(unsafe memory != MAP_FAILED ? memory : nil)
    // The page behind the last one that is used; both are of this mapping.
    #expect(unsafe mprotect(start + size, page, PROT_NONE) == 0)
  }

  deinit { unsafe munmap(start, size + Int(sysconf(Int32(_SC_PAGESIZE)))) }

  /// Calls `body` with a view of a copy of the bytes that ends where reading ends.
  func with<Result>(_ bytes: ArraySlice<UInt8>, _ body: (ByteView) -> Result) -> Result {
    precondition(bytes.count <= size)
    let place = unsafe start + (size - bytes.count)
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe place.copyMemory(from: base, byteCount: source.count)
    }
    return unsafe body(ByteView(unsafeStart: UnsafeRawPointer(place), count: bytes.count))
  }
}

@Suite struct GuardPageTests {
  let samples = [
    browserRequest, "GET http://[::1]:80?q HTTP/1.0\r\nHost: [::1]:80\r\nx!: \t\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: [\r\nExpect: \"\\\r\nContent-Length: 1\r\nConnection: \"a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nx: y\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nETag: \"a\"\r\nContent-Digest: x\r\n\r\n",
  ]

  @Test func `no reader looks past the end of its bytes`() throws {
    let pages = try GuardedPages(capacity: 4_096)
    let request = RequestHead()
    let response = ResponseHead()
    for sample in samples {
      let bytes = latin1(sample)
      for start in 0...bytes.count {
        for end in start...bytes.count where start == 0 || end == bytes.count || end - start < 24 {
          pages.with(bytes[start..<end]) { view in
            _ = RequestParser.parse(view, limits: roomy, into: request)
            _ = ResponseParser.parse(view, limits: roomy, requestMethod: .get, into: response)
            _ = HeadScan.mayHoldEnd(view, from: 0)
            _ = KnownField.identify(view)
            _ = HTTPDate.parse(view, now: 0)
            var decoder = ChunkedDecoder()
            var offset = 0
            while case .content = decoder.next(view, offset: &offset) {}
          }
        }
      }
    }
  }

  @Test(arguments: KnownField.allCases)
  func `no name is read past its end`(field: KnownField) throws {
    let pages = try GuardedPages(capacity: 4_096)
    let name = ByteView(field.name).array
    #expect(pages.with(name[...]) { KnownField.identify($0) } == field)
  }
}
