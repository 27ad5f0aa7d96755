package import Bytes
internal import CNGHTTP2
internal import HTTPMessage

extension HTTP2Session {
  /// Begins a response: its head, from field lines in lower case (`name: value` and CR LF each) in two
  /// runs. Lines that HTTP/2 does not have (RFC 9113 §8.2.2) are left out. With `contentFollows` the
  /// provider is asked for content; without, the head ends the response. False if the stream is closed, or
  /// has its head already.
  @discardableResult
  package func respond(
    _ stream: Int32, status: UInt16, lines: ByteView, more: ByteView = ByteView(),
    contentFollows: Bool
  ) -> Bool {
    guard failure == nil, let index = state(of: stream), !streams[index].hasHead else {
      return false
    }
    var source = unsafe nghttp2_data_provider(
      source: nghttp2_data_source(), read_callback: readContent)
    var priority: Priority?
    let result = unsafe ResponseLines.withFields(status, lines, more) { fields, count in
      priority = unsafe ResponseLines.priority(fields, count)
      guard contentFollows else {
        return unsafe nghttp2_submit_response(session, stream, fields, count, nil)
      }
      return unsafe nghttp2_submit_response(session, stream, fields, count, &source)
    }
    guard result == 0 else { return false }
    streams[index].hasHead = true
    streams[index].hasContent = contentFollows
    if let priority, contentFollows {
      let merged = priority.merged(over: streams[index].priority)
      prioritize(
        stream, urgency: merged.urgency ?? 3, isIncremental: merged.isIncremental ?? false)
    }
    return true
  }

  /// Sends an interim response (RFC 9110 §15.2), 100 to 199 but for 101, which HTTP/2 does not have.
  package func inform(_ stream: Int32, status: UInt16, lines: ByteView) {
    guard failure == nil, (100...199).contains(status), status != 101,
      let index = state(of: stream), !streams[index].hasHead
    else { return }
    _ = unsafe ResponseLines.withFields(status, lines, ByteView()) { fields, count in
      unsafe nghttp2_submit_headers(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, nil, fields, count, nil)
    }
  }

  /// There is content again for a stream whose provider said `.wait`.
  package func resume(_ stream: Int32) {
    guard let index = state(of: stream), streams[index].waits else { return }
    streams[index].waits = false
    _ = unsafe nghttp2_session_resume_data(session, stream)
  }

  /// Breaks a stream off.
  package func reset(_ stream: Int32, _ code: HTTP2ErrorCode) {
    guard failure == nil, state(of: stream) != nil else { return }
    _ = unsafe nghttp2_submit_rst_stream(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code.number)
  }

  /// Answers with a status and nothing else.
  func refuse(_ stream: Int32, status: UInt16) {
    respond(stream, status: status, lines: ByteView(), contentFollows: false)
  }

  /// Overrides a stream's priority (RFC 9218 §8), as an origin's `Priority` field may: urgency 0 to 7, the
  /// most urgent first. What the client says later is ignored.
  package func prioritize(_ stream: Int32, urgency: UInt8, isIncremental: Bool) {
    var priority = nghttp2_extpri(urgency: UInt32(min(urgency, 7)), inc: isIncremental ? 1 : 0)
    _ = unsafe nghttp2_session_change_extpri_stream_priority(session, stream, &priority, 1)
  }

  /// Sends trailer fields; false if there are none.
  func submitTrailers(_ stream: Int32, _ lines: ByteView) -> Bool {
    let result = unsafe ResponseLines.withFields(0, lines, ByteView()) { fields, count -> Int32 in
      guard count > 0 else { return -1 }
      return unsafe nghttp2_submit_trailer(session, stream, fields, count)
    }
    return result == 0
  }
}

/// Field lines as nghttp2 takes them.
enum ResponseLines {
  /// Calls `body` with the fields of two runs of lines, behind `:status` unless it is 0.
  static func withFields(
    _ status: UInt16, _ first: ByteView, _ second: ByteView,
    _ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> Int32
  ) -> Int32 {
    let capacity = 1 + lineCount(first) + lineCount(second)
    // nghttp2 copies names and values before it returns; the literals and views live longer than that.
    return unsafe withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: capacity) { fields in
      unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3) { digits in
        guard let start = fields.baseAddress, let text = digits.baseAddress else { return -1 }
        var count = 0
        if status != 0 {
          unsafe write(status, text)
          let value = unsafe ByteView(unsafeStart: UnsafeRawPointer(text), count: 3)
          unsafe (start + count).initialize(to: field(ByteView(":status"), value))
          count += 1
        }
        unsafe add(first, start, &count, capacity)
        unsafe add(second, start, &count, capacity)
        return unsafe body(start, count)
      }
    }
  }

  private static func write(_ status: UInt16, _ text: UnsafeMutablePointer<UInt8>) {
    let status = min(max(status, 100), 999)
    unsafe text[0] = UInt8(truncatingIfNeeded: 0x30 + status / 100)
    unsafe text[1] = UInt8(truncatingIfNeeded: 0x30 + status / 10 % 10)
    unsafe text[2] = UInt8(truncatingIfNeeded: 0x30 + status % 10)
  }

  /// What an origin says of the response's priority (RFC 9218 §8); nil if it says nothing.
  static func priority(_ fields: UnsafeMutablePointer<nghttp2_nv>, _ count: Int) -> Priority? {
    for index in 0..<count where unsafe fields[index].namelen == 8 {
      // What `field` has made of views that are good for the call.
      let field = unsafe fields[index]
      let name = unsafe ByteView(unsafeStart: UnsafeRawPointer(field.name), count: 8)
      guard name == ByteView("priority") else { continue }
      return unsafe Priority(
        ByteView(unsafeStart: UnsafeRawPointer(field.value), count: field.valuelen))
    }
    return nil
  }

  private static func lineCount(_ lines: ByteView) -> Int {
    var count = 0
    var at = 0
    while let end = lines.firstIndex(of: ASCII.lf, from: at) {
      count += 1
      at = end + 1
    }
    return count
  }

  /// Adds the fields of lines, each of which ends with CR LF. What is no field line is left out.
  private static func add(
    _ lines: ByteView, _ fields: UnsafeMutablePointer<nghttp2_nv>, _ count: inout Int,
    _ capacity: Int
  ) {
    var at = 0
    while let end = lines.firstIndex(of: ASCII.lf, from: at) {
      let line = lines[at..<end]
      at = end + 1
      guard line.count > 2, line[line.count - 1] == ASCII.cr,
        let colon = line.firstIndex(of: ASCII.colon), colon > 0
      else { continue }
      let name = line.prefix(colon)
      let value = line[colon + 1..<line.count - 1].trimmingWhitespace
      guard isAllowed(name), isClean(value), count < capacity else { continue }
      unsafe (fields + count).initialize(to: field(name, value))
      count += 1
    }
  }

  /// A field; what is secret, or different each time, is not worth a place in the table.
  private static func field(_ name: ByteView, _ value: ByteView) -> nghttp2_nv {
    let isSecret = name == ByteView("set-cookie")
    return unsafe nghttp2_nv(
      name: UnsafeMutablePointer(mutating: name.baseAddress.assumingMemoryBound(to: UInt8.self)),
      value: UnsafeMutablePointer(mutating: value.baseAddress.assumingMemoryBound(to: UInt8.self)),
      namelen: name.count, valuelen: value.count,
      flags: UInt8((isSecret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE).rawValue))
  }

  private static func isAllowed(_ name: ByteView) -> Bool {
    for index in 0..<name.count {
      guard ASCII.isTokenByte(name[index]), name[index] &- 0x41 >= 26 else { return false }
    }
    switch KnownField.identify(name) {
    case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .te, .host:
      return false
    default: return true
    }
  }

  private static func isClean(_ value: ByteView) -> Bool {
    for index in 0..<value.count {
      if value[index] < 0x20 && value[index] != ASCII.tab || value[index] == 0x7F { return false }
    }
    return true
  }
}
