// A directory of files as the origin (`files ./public`). A helper's thread opens the file and says how it
// is to be answered (`FileSite`); from there its answer goes the way of every other: the same rules decide
// what is stored and shared, the same fill carries the content. What of the content is in the kernel's
// memory is read here; what is not, a helper reads. Never more is read than the fill has room for.

internal import Bytes
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import ObjectStore
internal import StaticFiles

/// The content that is still to be read.
final class FileSource {
  let file: OpenFile
  var offset: Int
  /// Whether the next piece is on its way.
  var isReading = false

  init(_ file: OpenFile, offset: Int) {
    self.file = file
    self.offset = offset
  }
}

extension OriginRequest {
  /// Read by a helper at once.
  private static let coldPiece = 256 << 10

  /// Asks for the file.
  func open(in site: FileSite) {
    stage = .connecting
    requestTime = worker.now.wall
    let context = worker.context
    let index = worker.index
    let token = name()
    let taken = generation.shared.fileThreads?.submit(
      fileRequest(), to: site, now: worker.now.wall / 1000
    ) { context.post(.fileAnswered(token, $0), to: index) }
    guard taken == true else { return end(with: .tooBusy) }
    setTimer(worker.now.monotonic &+ settings.firstByteTimeout)
  }

  private func fileRequest() -> FileRequest {
    var request = FileRequest(head, isFill: isFill)
    guard isFill else { return request }
    var target = ByteBuffer()
    policy.appendTarget(head, to: &target)
    if !target.isEmpty {
      // What is not in the key must not shape an answer, such as a redirect, that others get.
      let mark = target.view.firstIndex(of: ASCII.question)
      request.path = target.view.prefix(mark ?? target.count).array
      request.query = mark.map { target.view.dropping(first: $0 + 1).array }
    }
    if let stored {
      request.ifNoneMatch = stored.entityTag.isEmpty ? nil : stored.entityTag
      request.ifModifiedSince = stored.lastModified.isEmpty ? nil : stored.lastModified
    }
    return request
  }

  /// The answer is there.
  func opened(_ answer: FileAnswer) {
    guard stage == .connecting else { return }
    setTimer(.max)
    var answer = answer
    if answer.status >= 400, case .none = answer.content {
      answer.lines += Array("content-type: text/plain; charset=utf-8\r\n".utf8)
      answer.content = .bytes(Array("\(answer.status) \(StatusCode.reason(answer.status))\n".utf8))
    }
    guard readHead(of: answer) else {
      end(with: .malformed)
      return
    }
    responseTime = worker.now.wall
    stage = .content
    switch answer.content {
    case .none: final(content: ByteView())
    case .bytes(let bytes):
      // To HEAD there is no content.
      bytes.withView { final(content: head.method == .head ? ByteView() : $0) }
    case .file(let file, let offset, _):
      self.file = FileSource(file, offset: offset)
      final(content: ByteView())
      readFile()
    }
  }

  /// Makes the answer's head one like those that come over a connection; its bytes are in the worker's
  /// buffer, as long as this turn goes on.
  private func readHead(of answer: FileAnswer) -> Bool {
    worker.wire.removeAll()
    worker.wire.append("HTTP/1.1 ")
    worker.wire.append(decimal: UInt64(answer.status))
    worker.wire.append(" \r\ndate: ")
    worker.wire.append(worker.dates.view(worker.now.wall))
    worker.wire.append("\r\n")
    answer.lines.withView { worker.wire.append($0) }
    if answer.status != 304 {
      worker.wire.append("content-length: ")
      worker.wire.append(decimal: UInt64(answer.length))
      worker.wire.append("\r\n")
    }
    worker.wire.append("\r\n")
    let limits = HeadLimits(maxRequestLine: 8 << 10, maxHead: 64 << 10, maxFields: 100)
    switch ResponseParser.parse(
      worker.wire.view, limits: limits, requestMethod: head.method, into: response)
    {
    case .complete: return true
    case .incomplete, .invalid: return false
    }
  }

  /// Reads on, as far as there is room.
  func readFile() {
    var budget = Self.bytesPerTurn
    while let file, stage == .content, !file.isReading, remaining > 0 {
      guard mayReadOn() else {
        if isForNobody { end(with: .requestAborted) }
        return
      }
      guard budget > 0 else {
        readLater(file)
        return
      }
      let room = unsafe UnsafeMutableRawBufferPointer(
        rebasing: worker.originBuffer.prefix(Int(clamping: remaining)))
      switch unsafe file.file.read(into: room, at: file.offset) {
      case .bytes(let count) where count > 0:
        file.offset += count
        budget -= count
        take(unsafe ByteView(unsafe: UnsafeRawBufferPointer(room)).prefix(count))
      case .cold:
        readCold(file)
        return
      case .bytes, .failed: end(with: .closedEarly)
      }
    }
  }

  /// Lets the others have their turn first.
  private func readLater(_ file: FileSource) {
    file.isReading = true
    worker.context.post(.fileRead(name(), []), to: worker.index)
  }

  private func readCold(_ file: FileSource) {
    file.isReading = true
    let context = worker.context
    let index = worker.index
    let token = name()
    let taken = generation.shared.fileThreads?.read(
      file.file, at: file.offset, count: Int(clamping: min(remaining, UInt64(Self.coldPiece)))
    ) { context.post(.fileRead(token, $0), to: index) }
    guard taken == true else { return end(with: .tooBusy) }
    setTimer(worker.now.monotonic &+ settings.betweenBytesTimeout)
  }

  /// A piece is there; nil: the file has become shorter.
  func fileWasRead(_ bytes: [UInt8]?) {
    guard let file, stage == .content else { return }
    file.isReading = false
    setTimer(.max)
    guard let bytes else {
      end(with: .closedEarly)
      return
    }
    if !bytes.isEmpty {
      file.offset += bytes.count
      bytes.withView { take($0) }
    }
    readFile()
  }
}
