// What a supervisor tells the executable that it becomes (execve(2)): the process stays, with its number, its
// children and its descriptors, but what it knew of them is gone with its memory.
//
//     weir-supervisor 1
//     executable PATH              where the next version is put
//     node PROCESS SINCE           the node that answers, and since when (monotonic, nanoseconds)
//     drain_timeout NANOSECONDS
//     configuration DESCRIPTOR     the copy of its text
//     admin DESCRIPTOR             where there is one
//     draining PROCESS             one whose place was taken; for each
//     channel PROCESS DESCRIPTOR   the way to a node; for each
//     trace PROCESS DESCRIPTOR     what it leaves behind if it crashes; for each that does
//     sockets NUMBER N,N,…         an address's, by worker; for each, in order
//     coming NUMBER N,N,…          of an address that a reload is about to bring
//
// Whoever reads it may be another version, older too, so a text is taken whole or not at all: another number
// behind the name, a line that is not known or one too few, and the supervisor stays what it is.

/// See the top of the file.
package struct HandedOver: Sendable, Equatable {
  /// The sockets of an address, as the node numbers it.
  package struct Address: Sendable, Equatable {
    package var number: Int
    package var sockets: [Int32]

    /// An address.
    package init(number: Int, sockets: [Int32]) {
      self.number = number
      self.sockets = sockets
    }
  }

  package var executable: String
  package var node: Int32
  package var since: Int64
  package var draining: Set<Int32>
  package var drainTimeout: Int64
  package var configuration: Int32
  package var channels: [Int32: Int32]
  package var traces: [Int32: Int32]
  package var addresses: [Address]
  package var coming: [Address]
  package var admin: Int32?

  private static let heading = "weir-supervisor 1"

  /// All of it.
  package init(
    executable: String, node: Int32, since: Int64, draining: Set<Int32>, drainTimeout: Int64,
    configuration: Int32, channels: [Int32: Int32], traces: [Int32: Int32], addresses: [Address],
    coming: [Address], admin: Int32?
  ) {
    self.executable = executable
    self.node = node
    self.since = since
    self.draining = draining
    self.drainTimeout = drainTimeout
    self.configuration = configuration
    self.channels = channels
    self.traces = traces
    self.addresses = addresses
    self.coming = coming
    self.admin = admin
  }

  /// As text.
  package var text: String {
    func line(_ name: String, _ address: Address) -> String {
      "\(name) \(address.number) " + address.sockets.map { String($0) }.joined(separator: ",")
    }
    var lines = [
      Self.heading, "executable \(executable)", "node \(node) \(since)",
      "drain_timeout \(drainTimeout)", "configuration \(configuration)",
    ]
    if let admin { lines.append("admin \(admin)") }
    lines += draining.sorted().map { "draining \($0)" }
    lines += channels.sorted { $0.key < $1.key }.map { "channel \($0.key) \($0.value)" }
    lines += traces.sorted { $0.key < $1.key }.map { "trace \($0.key) \($0.value)" }
    lines += addresses.map { line("sockets", $0) } + coming.map { line("coming", $0) }
    return lines.map { $0 + "\n" }.joined()
  }

  /// Reads what `text` writes; nil if it is anything else.
  package init?(text: some StringProtocol) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    guard lines.count >= 5, lines.first == Self.heading, lines.last == "" else { return nil }
    self.init(
      executable: "", node: 0, since: 0, draining: [], drainTimeout: -1, configuration: -1,
      channels: [:], traces: [:], addresses: [], coming: [], admin: nil)
    for line in lines.dropFirst().dropLast() {
      guard let space = line.firstIndex(of: " ") else { return nil }
      let rest = line[line.index(after: space)...]
      guard take(String(line[..<space]), String(rest)) else { return nil }
    }
    let isWhole = node > 0 && drainTimeout >= 0 && configuration > 2 && !executable.isEmpty
    // What was read must be what would be written: nothing twice, no number in another form.
    guard isWhole, self.text == text else { return nil }
  }

  private mutating func take(_ name: String, _ value: String) -> Bool {
    let words = value.split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
    switch (name, words.count) {
    case ("executable", _): executable = value
    case ("node", 2):
      guard let process = Int32(words[0]), let since = Int64(words[1]) else { return false }
      (node, self.since) = (process, since)
    case ("drain_timeout", 1): drainTimeout = Int64(value) ?? -1
    case ("configuration", 1): configuration = Int32(value) ?? -1
    case ("admin", 1): admin = Int32(value)
    case ("draining", 1):
      guard let process = Int32(value) else { return false }
      draining.insert(process)
    case ("channel", 2), ("trace", 2):
      guard let process = Int32(words[0]), let number = Int32(words[1]) else { return false }
      if name == "trace" { traces[process] = number } else { channels[process] = number }
    case ("sockets", 2), ("coming", 2):
      guard let address = Self.address(words) else { return false }
      if name == "sockets" { addresses.append(address) } else { coming.append(address) }
    default: return false
    }
    return true
  }

  private static func address(_ words: [String]) -> Address? {
    let sockets = words[1].split(separator: ",", omittingEmptySubsequences: false)
      .map { Int32($0) ?? -1 }
    guard let number = Int(words[0]), sockets.allSatisfy({ $0 > 2 }) else { return nil }
    return Address(number: number, sockets: sockets)
  }

  /// Every descriptor that goes along, but for the text's own.
  package var descriptors: [Int32] {
    listening + channels.values + traces.values + [configuration]
  }

  /// Those that listen.
  package var listening: [Int32] {
    (addresses + coming).flatMap(\.sockets) + [admin].compactMap { $0 }
  }
}
