import Bytes
import GeoDatabase
import Rules
import Testing

private func find(_ database: GeoDatabase, _ address: String) -> GeoPlace {
  let address = address.withView { IPAddress.parse($0) } ?? .none
  return database.find(high: address.high, low: address.low)
}

@Suite("Geo databases", .enabled(if: SharedData.hasMaxMind, "no ../shared/data/mmdb"))
struct GeoTests {
  private func open(_ names: String...) -> Result<GeoDatabase, GeoDatabaseProblem> {
    GeoDatabase.open(paths: names.map { "\(SharedData.maxMind)/\($0)" })
  }

  @Test func `an address has a country, a region, a city and a network`() throws {
    let database = try open("GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb").get()
    let london = find(database, "81.2.69.142")
    #expect(database.country(london).string == "GB")
    #expect(database.continent(london).string == "EU")
    #expect(database.region(london).string == "ENG")
    #expect(database.city(london).string == "London")
    let network = find(database, "1.128.0.0")
    #expect(database.network(network) == 1221)
    let six = find(database, "2001:218::1")
    #expect(database.country(six).string == "JP")
    for address in ["127.0.0.1", "::", "ffff:ffff::1"] {
      let nowhere = find(database, address)
      #expect(database.country(nowhere).isEmpty && database.city(nowhere).isEmpty)
      #expect(database.network(nowhere) == 0)
    }
  }

  @Test func `rules ask where the client is`() throws {
    let database = try open("GeoIP2-City-Test.mmdb").get()
    let rules = RuleText("log at \"${geo.continent}/${geo.country}/${geo.region}/${geo.city}\";")
    #expect(
      rules.answer("GET /\n@client 81.2.69.142", geo: database)
        == "proceed, log at=EU/GB/ENG/London")
    #expect(rules.answer("GET /\n@client 127.0.0.1", geo: database) == "proceed, log at=///")
    #expect(rules.answer("GET /\n@client 81.2.69.142") == "proceed, log at=///")
  }

  @Test(arguments: SharedData.names(in: SharedData.maxMind + "/bad"))
  func `a damaged database is refused or knows nothing, and never worse`(_ name: String) {
    // Whatever it says for any address, it is asked for all that can be asked.
    guard case .success(let database) = open("bad/\(name)") else { return }
    var generator = SeededGenerator(state: 7)
    for round in 0..<500 {
      let low = generator.next()
      let high = round % 3 == 0 ? 0 : generator.next()
      let place = database.find(
        high: high, low: round % 3 == 0 ? 0xFFFF_0000_0000 | low >> 32 : low)
      let texts = [
        database.country(place), database.continent(place), database.region(place),
        database.city(place),
      ]
      #expect(texts.allSatisfy { $0.array.count == $0.count })
      #expect(database.network(place) >= 0)
    }
  }

  @Test func `what is no database says why`() {
    for name in ["nothing.mmdb", "bad", "../README.md"] {
      guard case .failure(let problem) = open(name) else {
        Issue.record("\(name) was opened")
        continue
      }
      #expect(!problem.message.isEmpty)
    }
  }
}
