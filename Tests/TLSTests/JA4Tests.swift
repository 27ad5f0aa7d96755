import Bytes
import TLS
import Testing

/// Vectors of the published text (technical_details/JA4.md of FoxIO).
@Suite struct JA4Tests {
  /// A hello in a record, as a client sends it.
  static func record(
    version: UInt16 = 0x0303, suites: [UInt16], extensions: [(UInt16, [UInt8])]
  ) -> [UInt8] {
    func number(_ value: Int, _ bytes: Int) -> [UInt8] {
      (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
    func run(_ bytes: [UInt8], _ lengthBytes: Int) -> [UInt8] {
      number(bytes.count, lengthBytes) + bytes
    }
    let list = extensions.flatMap { number(Int($0.0), 2) + run($0.1, 2) }
    let hello =
      number(Int(version), 2) + [UInt8](repeating: 7, count: 32) + run([1, 2, 3], 1)
      + run(suites.flatMap { number(Int($0), 2) }, 2) + run([0], 1)
      + (extensions.isEmpty ? [] : run(list, 2))
    return [22, 3, 1] + run([1] + run(hello, 3), 2)
  }

  static func fingerprint(_ record: [UInt8]) throws -> String {
    var text = ByteBuffer()
    try record.withView { view in
      try #require(ClientHello(record: view)).appendJA4(to: &text)
    }
    return text.view.string
  }

  static func names(_ names: [UInt8]...) -> [UInt8] {
    let list = names.flatMap { [UInt8($0.count)] + $0 }
    return [UInt8(list.count >> 8), UInt8(list.count & 0xFF)] + list
  }

  static let suites: [UInt16] = [
    0x2A2A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014,
    0x009C, 0x009D, 0x002F, 0x0035,
  ]
  static let algorithms: [UInt8] = [
    0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1,
  ]

  /// The extensions of the text's example, in its order.
  static func extensions(signatures: Bool = true) -> [(UInt16, [UInt8])] {
    let types: [UInt16] = [
      0x001B, 0, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B,
      0xFF01, 0x000B, 0x000A, 0x0015,
    ]
    return [(0xDADA, [])]
      + types.map { type in
        switch type {
        case 0x0010: (type, names(Array("h2".utf8), Array("http/1.1".utf8)))
        case 0x000D: (type, signatures ? algorithms : [0, 0])
        case 0x002B: (type, [6, 0x7A, 0x7A, 3, 4, 3, 3])
        default: (type, [])
        }
      }
  }

  @Test func `the example of the text`() throws {
    let record = Self.record(suites: Self.suites, extensions: Self.extensions())
    #expect(try Self.fingerprint(record) == "t13d1516h2_8daaf6152771_e5627efa2ab1")
  }

  @Test func `without signature algorithms there is no underscore`() throws {
    let record = Self.record(suites: Self.suites, extensions: Self.extensions(signatures: false))
    #expect(try Self.fingerprint(record) == "t13d1516h2_8daaf6152771_6d807ffa2a79")
  }

  @Test func `what has no member is said with zeros`() throws {
    let record = Self.record(suites: [0x0A0A], extensions: [])
    #expect(try Self.fingerprint(record) == "t12i000000_000000000000_000000000000")
  }

  @Test(arguments: [
    ([0xAB], "ab"), ([0xAB, 0xCD], "ad"), ([0x30, 0xAB], "3b"), ([0x30, 0x31, 0xAB, 0xCD], "3d"),
    ([0x30, 0xAB, 0xCD, 0x31], "01"), ([0x68], "hh"), (Array("http/1.1".utf8), "h1"), ([], "00"),
  ])
  func `a protocol is said by its ends`(_ name: [UInt8], _ text: String) throws {
    let record = Self.record(suites: [0x1301], extensions: [(16, Self.names(name))])
    #expect(try Self.fingerprint(record).hasPrefix("t12i0101\(text)_"))
  }

  @Test(
    arguments: [
      (0x0304, "13"), (0x0303, "12"), (0x0302, "11"), (0x0301, "10"), (0x0300, "s3"),
      (0x0002, "s2"),
      (0x1234, "00"),
    ] as [(UInt16, String)])
  func `a version has its name`(_ version: UInt16, _ name: String) throws {
    let record = Self.record(version: version, suites: [0x1301], extensions: [])
    #expect(try Self.fingerprint(record).hasPrefix("t\(name)i"))
  }

  @Test func `more than 99 are 99`() throws {
    let record = Self.record(suites: (1...120).map { 0xC000 + $0 }, extensions: [])
    #expect(try Self.fingerprint(record).hasPrefix("t12i990000_"))
  }

  @Test func `a hello that is cut anywhere is none`() throws {
    let record = Self.record(suites: Self.suites, extensions: Self.extensions())
    for count in 0..<record.count {
      #expect(record[..<count].withContiguousBytes { ClientHello(record: $0) } == nil)
    }
  }

  @Test(arguments: 0..<200)
  func `garbage in a hello traps nowhere`(_ seed: Int) throws {
    var random = SplitMix(state: UInt64(seed) + 1)
    var record = Self.record(suites: Self.suites, extensions: Self.extensions())
    for _ in 0..<8 {
      record[Int(random.next() % UInt64(record.count))] = UInt8(truncatingIfNeeded: random.next())
    }
    record.withView { view in
      guard let hello = ClientHello(record: view) else { return }
      var text = ByteBuffer()
      hello.appendJA4(to: &text)
      #expect(text.count == 36)
    }
  }
}

/// Steele, Lea and Flood's generator, for numbers that are the same in each run.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

extension ArraySlice<UInt8> {
  fileprivate func withContiguousBytes<Result>(_ body: (ByteView) -> Result) -> Result {
    Array(self).withView(body)
  }
}
