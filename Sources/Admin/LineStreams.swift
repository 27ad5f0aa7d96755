// Lines of the access log as server-sent events, for `weir log -f`:
//
//     data: {"time":"…","client":"…",…}      a line
//     event: lost
//     data: {"lost":17}                      so many lines there would have been besides
//     :                                      every 15 seconds, so that both sides notice that the other is gone
//
// Filters run on the live log's own thread (`AccessLog/LiveLog`); this loop copies what they let through,
// and no more of it than the client keeps up with. What waits for it meanwhile is bounded, too, and what is
// beyond is counted. All of it on the loop's thread.

internal import AccessLog
internal import Edge

/// What goes on behind an answer until the connection ends.
enum AdminStream: Sendable {
  /// Figures, every second.
  case figures
  /// Lines of the access log that a filter lets through; all without one.
  case lines(LineExpression?)
}

final class LineStreams {
  private let live: LiveLog?
  /// Connections by their names in the loop, and what they are among the readers.
  private var readers: [(connection: UInt64, reader: UInt64)] = []
  /// Seconds since the last comment.
  private var seconds = 0

  init(_ live: LiveLog?) { self.live = live }

  /// The connections that watch.
  var watching: [UInt64] { readers.map(\.connection) }

  /// Whether there is no place for another.
  var isFull: Bool { live?.isFull ?? true }

  /// Sends lines to a connection from now on.
  func begin(_ connection: UInt64, _ filter: LineExpression?) {
    guard let reader = live?.open(filter) else { return }
    readers.append((connection, reader))
  }

  /// Forgets a connection that has ended.
  func end(_ connection: UInt64) {
    for entry in readers where entry.connection == connection { live?.close(entry.reader) }
    readers.removeAll { $0.connection == connection }
  }

  /// The comment that is sent now and then; nil: not now. Asked once a second.
  func comment() -> [UInt8]? {
    seconds += 1
    guard seconds >= 15 else { return nil }
    seconds = 0
    return readers.isEmpty ? nil : Array(":\n\n".utf8)
  }

  /// Less room than this is left for later: the longest line must fit.
  private static let leastRoom = 256 << 10

  /// What has come for a connection, of at most `room` bytes; empty if nothing has.
  func message(for connection: UInt64, room: Int) -> [UInt8] {
    guard let live, room >= Self.leastRoom,
      let reader = readers.first(where: { $0.connection == connection })?.reader
    else { return [] }
    // What is around each line is less than a line.
    let (lines, lost) = live.take(reader, limit: room / 2)
    var message: [UInt8] = []
    for line in lines {
      message += Array("data: ".utf8)
      message += line
      message += [10, 10]
    }
    if lost > 0 { message += Array("event: lost\ndata: {\"lost\":\(lost)}\n\n".utf8) }
    return message
  }
}

extension AdminService {
  /// `GET /v1/log?filter=CONDITION`
  func beginLines(_ route: AdminRoute) throws(Problem) -> AdminResponse {
    let query = try AdminQuery(route.query, ["filter"])
    var filter: LineExpression?
    if let text = query["filter"] {
      do throws(ObjectExpression.Defect) {
        filter = try LineExpression.compile(Array(text.utf8))
      } catch {
        throw Problem(.invalidQuery, "filter, byte \(error.offset): \(error.text)")
      }
    }
    guard !lines.isFull else {
      throw Problem(
        .tooManyStreams, "There are \(LiveLog.mostReaders) who watch the access log already.")
    }
    var response = AdminResponse(contentType: "text/event-stream", content: Array(":\n\n".utf8))
    response.stream = .lines(filter)
    return response
  }

  /// Has a stream go on behind its answer.
  func begin(_ stream: AdminStream, for connection: UInt64) {
    switch stream {
    case .figures: streams.begin(connection)
    case .lines(let filter): lines.begin(connection, filter)
    }
  }
}
