// Where `weir top` has its figures from: the node's stream of events, and the lists that go with them.

internal import Bytes
import EventLoop
import FoundationEssentials
import TopView

/// The node's messages, as they come.
final class TopStream {
  private let connection: NodeConnection
  private var bytes: [UInt8]

  /// Begins to listen.
  init(_ client: AdminClient) throws(AdminClient.Failure) {
    let (connection, status, rest) = try client.open("/v1/events")
    guard status == 200 else {
      let refusal = try? JSONDecoder().decode(TopLists.Refusal.self, from: Data(rest))
      throw AdminClient.Failure(text: refusal?.detail ?? "the node answers with status \(status)")
    }
    self.connection = connection
    bytes = rest
  }

  /// What is readable when there is something to take.
  var number: Int32 { connection.socket.number }

  /// The newest figures that have come; nil if none have. Throws when the stream has ended.
  func take() throws(AdminClient.Failure) -> TopFigures? {
    var buffer = ByteBuffer()
    reading: while true {
      switch try connection.receive(onto: &buffer) {
      case .bytes: continue
      case .nothing: break reading
      case .end: throw AdminClient.Failure(text: "the node has ended the stream")
      }
    }
    bytes += buffer.view.array
    return newest()
  }

  /// Waits for the next figures.
  func next() throws(AdminClient.Failure) -> TopFigures {
    while true {
      if let figures = newest() { return figures }
      var buffer = ByteBuffer()
      guard try connection.read(onto: &buffer) else {
        throw AdminClient.Failure(text: "the node has ended the stream")
      }
      bytes += buffer.view.array
    }
  }

  /// Takes whole messages off what has come (an empty line ends one).
  private func newest() -> TopFigures? {
    var found: TopFigures?
    let end = Array("\n\n".utf8)
    let event = Array("event: figures\ndata: ".utf8)
    var start = 0
    for index in bytes.indices.dropLast() where bytes[index...(index + 1)].elementsEqual(end) {
      let message = bytes[start..<max(start, index)]
      start = index + 2
      guard message.starts(with: event) else { continue }
      let data = Data(message.dropFirst(event.count))
      found = (try? JSONDecoder().decode(TopFigures.self, from: data)) ?? found
    }
    bytes.removeFirst(start)
    return found
  }
}

extension TopLists {
  fileprivate struct Refusal: Decodable { let detail: String }

  private struct Hits: Decodable {
    struct Hit: Decodable {
      let url: String?
      let tag: String?
      let hits: UInt64
      let bytes: UInt64
    }
    let hits: [Hit]
  }

  private struct Misses: Decodable {
    struct Miss: Decodable {
      let name: String
      let misses: UInt64
      let bytes: UInt64
      let reasons: [String: UInt64]
    }
    let misses: [Miss]
  }

  private struct Keys: Decodable {
    struct Key: Decodable {
      let key: String
      let weight: UInt64
      let rejected: UInt64
    }
    let keys: [Key]
  }

  /// Asks a node for the lists that go with its figures; of limits' keys, those of the limits that refuse
  /// most.
  init(_ client: AdminClient, _ figures: TopFigures, order: TopOptions.Order, count: Int) {
    self.init()
    let weight = order == .bytes ? "bytes" : "misses"
    do throws(AdminClient.Failure) {
      hits = try Self.ask(client, "/v1/hits?top=\(count)", Hits.self).hits.map {
        Entry(name: $0.url ?? "", count: $0.hits, bytes: $0.bytes)
      }
      tags = try Self.ask(client, "/v1/hits?of=tags&top=\(count)", Hits.self).hits.map {
        Entry(name: $0.tag ?? "-", count: $0.hits, bytes: $0.bytes)
      }
      let missed = try Self.ask(client, "/v1/misses?by=\(weight)&top=\(count)", Misses.self)
      misses = missed.misses.map {
        let reasons = $0.reasons.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return Entry(
          name: $0.name, count: $0.misses, bytes: $0.bytes,
          why: reasons.prefix(2).map(\.key).joined(separator: ", "))
      }
      let busy = figures.limits.filter { $0.rejected + $0.waiting > 0 }
        .sorted { $0.rejected > $1.rejected }.prefix(3)
      for limit in busy {
        let path = "/v1/limits/\(AskedNode.segment(limit.name))/keys?top=20"
        keys += try Self.ask(client, path, Keys.self).keys.map {
          Key(limit: limit.name, key: $0.key, weight: $0.weight, rejected: $0.rejected)
        }
      }
      keys.sort { ($0.rejected, $0.weight) > ($1.rejected, $1.weight) }
    } catch {
      problem = error.text
    }
  }

  private static func ask<Value: Decodable>(
    _ client: AdminClient, _ path: String, _ type: Value.Type
  ) throws(AdminClient.Failure) -> Value {
    let answer = try client.ask("GET", path)
    if answer.status == 200,
      let value = try? JSONDecoder().decode(type, from: Data(answer.content))
    {
      return value
    }
    let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(answer.content))
    throw AdminClient.Failure(
      text: refusal?.detail ?? "the node answers with status \(answer.status)")
  }
}
