// PoPs behind PoPs: what a request from one says, and what one says that goes to another.
//
// `CDN-Loop` (RFC 8586) names every PoP that a request has passed; one that comes back to a PoP that it
// names is answered with 508. `Weir-Purged` says through where the PoP that asks has purged
// (Fleet/FleetPlace.swift). It is believed only of a peer that is one of the fleet's `children` (if they are
// not said, a trusted proxy), and only its last line, which that peer has written itself.

internal import Bytes
internal import ClientAddress
internal import EventLoop
internal import Fleet
internal import HTTPMessage

/// The fields between PoPs.
enum TierField {
  /// RFC 8586.
  static var loop: ByteView { ByteView("cdn-loop") }
  /// Through where the PoP that asks has purged.
  static var purged: ByteView { ByteView("weir-purged") }

  /// A PoP's name in `CDN-Loop`, a token.
  static func name(of fleet: FleetClient) -> [UInt8] {
    Array("weir-\(String(fleet.pop, radix: 16))".utf8)
  }

  /// Whether a field's value, a list, names somebody; parameters do not count.
  static func names(_ value: ByteView, _ name: ByteView) -> Bool {
    var start = 0
    while start <= value.count {
      let end = value.firstIndex(of: ASCII.comma, from: start) ?? value.count
      let member = value[start..<end]
      let identifier = member.prefix(member.firstIndex(of: ASCII.semicolon) ?? member.count)
      if identifier.trimmingWhitespace == name { return true }
      start = end + 1
    }
    return false
  }
}

extension Exchange {
  /// What other PoPs have to say in a request's head. False if it has been here before, which is answered.
  func hearsPoPs(_ head: RequestHead, on connection: some ClientStream) -> Bool {
    purgedThrough = nil
    asksForMore = false
    let worker = connection.worker
    let isPeer =
      connection.mayBeForwarded
      && generation.limitTable.children.contains(
        IPAddress(high: connection.address.high, low: connection.address.low))
    var isLoop = false
    for index in 0..<head.fields.count {
      let name = head.fields[index].name(in: head.bytes)
      if name.count == 8, name.equalsIgnoringCase(TierField.loop) {
        let value = head.fields[index].value(in: head.bytes)
        isLoop = isLoop || worker.popName.withView { TierField.names(value, $0) }
      } else if isPeer, name.count == 11, name.equalsIgnoringCase(TierField.purged) {
        purgedThrough = FleetPlace(head.fields[index].value(in: head.bytes))
      }
    }
    guard !isLoop else {
      refuse(status: 508, text: "The request has been here before.", on: connection)
      return false
    }
    if let purgedThrough, let fleet = worker.context.fleet {
      asksForMore = !fleet.progress.hasReached(purgedThrough)
    }
    return true
  }
}

extension OriginRequest {
  /// Appends what this PoP says to the servers of a pool.
  func appendTierFields(to lines: inout ByteBuffer) {
    guard let fleet = worker.context.fleet, let store = worker.context.store else { return }
    lines.append("cdn-loop: ")
    worker.popName.withView { lines.append($0) }
    lines.append("\r\n")
    guard side.isOfFleet else { return }
    guard var place = fleet.progress.asking(store) ?? purgedThrough else { return }
    if let asked = purgedThrough {
      // Of two logs nobody can say which is further.
      place.value =
        asked.history == place.history ? max(place.value, asked.value) : FleetPlace.beyond
    }
    lines.append("weir-purged: ")
    place.append(to: &lines)
    lines.append("\r\n")
  }
}
