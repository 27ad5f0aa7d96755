import Bytes
import FoundationEssentials
import Testing
import TrafficFormats

@Suite(.enabled(if: SharedData.isThere, "the shared recordings are not there"))
struct RealDataTests {
  @Test func `a real combined log`() throws {
    let bytes = try #require(SharedData.bytes("logs/apache-combined-2015.log"))
    let reading = Reading(bytes)
    #expect(reading.records.count == 10_000)
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
    #expect(Set(reading.records.map(\.client)).count == 1_753)
    #expect(reading.records.count { $0.status == 206 } == 45)
    #expect(reading.records.count { $0.status == 304 } == 445)
    let cut = Reading(bytes, step: 977)
    #expect(cut.records == reading.records)
  }

  @Test func `a real common log`() throws {
    let reading = Reading(try #require(SharedData.bytes("logs/nasa-1995-clf.log")))
    #expect(reading.records.count == 4_000)
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
  }

  @Test(arguments: [
    ("adaptsize-request.txt.gz", 66_987, 36_815), ("jedi-synthetic-cdn.txt.gz", 150_000, nil),
    ("cloudphysics.oracleGeneral.bin.gz", 113_872, nil),
  ])
  func `real traces, compressed`(name: String, count: Int, objects: Int?) throws {
    let reading = Reading(try #require(SharedData.bytes("traces/\(name)")), step: 5_003)
    #expect(reading.reader.coding == .gzip)
    #expect(reading.records.count == count)
    #expect(reading.reader.badCount == 0, "\(reading.reader.badLines)")
    if let objects { #expect(Set(reading.records.map(\.target)).count == objects) }
    #expect(reading.records.allSatisfy { ($0.responseBytes ?? 0) > 0 && $0.time != nil })
  }
}
