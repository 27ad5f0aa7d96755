import Bytes
import FoundationEssentials
import Testing
import TrafficFormats

@Suite("Compressed recordings")
struct DecompressorTests {
  /// "/a\n" and "/b\n" as two members of gzip each.
  static let gzip: [[UInt8]] = [
    "H4sIAAAAAAAC/9NP5AIAN2tjUAMAAAA=", "H4sIAAAAAAAC/9NP4gIA9DhOewMAAAA=",
  ].map { Array(Data(base64Encoded: $0) ?? Data()) }
  /// The same as frames of zstd.
  static let zstd: [[UInt8]] = ["KLUv/QRoGQAAL2EKJit09Q==", "KLUv/QRoGQAAL2IKN4ye+g=="]
    .map { Array(Data(base64Encoded: $0) ?? Data()) }

  @Test(arguments: [gzip, zstd], 1...9)
  func `members follow one another, in any portions`(parts: [[UInt8]], step: Int) {
    let reading = Reading(parts[0] + parts[1], step: step)
    #expect(reading.records.map(\.target) == ["/a", "/b"], "\(reading.reader.badLines)")
    #expect(reading.reader.badCount == 0)
  }

  @Test(arguments: [gzip, zstd])
  func `what comes before a damage counts`(parts: [[UInt8]]) {
    let reading = Reading(parts[0] + Array("no member".utf8))
    #expect(reading.records.map(\.target) == ["/a"])
    #expect(
      reading.reader.badLines.map(\.reason) == ["the compressed data is damaged from here on"])
  }

  @Test(arguments: [gzip, zstd])
  func `a stream that is cut off says so`(parts: [[UInt8]]) {
    let reading = Reading(parts[0] + parts[1].dropLast(4))
    #expect(reading.records.map(\.target).first == "/a")
    #expect(reading.reader.badLines.map(\.reason) == ["cut off"])
  }

  @Test func `a large stream comes out whole`() throws {
    // Runs of one line compress to a thousandth: many portions come out of one that goes in.
    let lines = Array(String(repeating: "/some/path\n", count: 100_000).utf8)
    let packed = try #require(Data(base64Encoded: Self.large))
    let reading = Reading(Array(packed))
    #expect(reading.records.count == lines.count / 11)
  }

  static let large =
    "KLUv/QRonAAAWC9zb21lL3BhdGgKAQDy/86LF0QAAAABAP3/zgsQRAAAAAEA/f85AAJEAAAAAQD9/zkAAkQAAAABAP3/OQACRAAAAAEA/f85AAJEAAAAAQD9/zkAAkQAAAABAP3/OQACRQAAAAEA3UgdAAEnhS98"
}
