import ArgumentParser

/// `weir fleet`: the PoPs that purges are shared with.
struct FleetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fleet",
    abstract: "See the PoPs of a running node's fleet, and who has applied all purges.",
    discussion: """
      Exit status: 0; 1 if the node refuses, or a PoP is out or behind; 69 if the node cannot be reached; 78 if \
      the configuration has errors.
      """)

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let answer = try node.decoded(Answer.self, node.ask("GET", "/v1/fleet")) else { return }
    print(
      "\(answer.pop) in \(answer.region), fleet \(answer.fleet): \(answer.phase), "
        + (answer.in_step ? "in step" : "out of step, \(answer.mode)s")
        + (answer.engine.map { ", engine \($0)" } ?? "")
        + (answer.waiting > 0 ? ", \(answer.waiting) purges wait for the engine" : ""))
    if let failure = answer.failure, answer.engine == nil { print("last failure: \(failure)") }
    guard let pops = answer.pops else {
      print("the engine does not say who else there is")
      throw ExitCode(1)
    }
    let rows = pops.map { pop in
      [
        pop.name, pop.region, pop.version, pop.state, String(pop.lag_ms),
        pop.lag_purges.map { String($0) } ?? "", String(pop.waiting), "\(pop.seen_ms_ago) ms ago",
      ]
    }
    let head = ["POP", "REGION", "VERSION", "STATE", "LAG MS", "PURGES", "WAITING", "SEEN"]
    print(TextTable.text([head] + rows), terminator: "")
    if pops.contains(where: { $0.state != "in_step" }) { throw ExitCode(1) }
  }

  private struct Answer: Decodable {
    struct PoP: Decodable {
      let name: String
      let region: String
      let version: String
      let state: String
      let lag_ms: UInt64
      let lag_purges: UInt64?
      let waiting: UInt64
      let seen_ms_ago: UInt64
    }
    let fleet: String
    let pop: String
    let region: String
    let phase: String
    let mode: String
    let in_step: Bool
    let engine: String?
    let failure: String?
    let waiting: UInt64
    let pops: [PoP]?
  }
}
