import ArgumentParser

/// Who of the fleet has what was ordered, as the admin API answers.
struct FleetReached: Decodable {
  let complete: Bool
  let logged: Bool
  let applied: [String]
  let pending: [String]
  let out: [String]

  /// Prints it, `done` standing for what those have done who have it; throws the exit status 1 if somebody
  /// is missing.
  func show(_ what: String, done: String) throws {
    let rows =
      applied.map { [$0, done] } + pending.map { [$0, "not yet"] } + out.map { [$0, "out"] }
    print(TextTable.text([["POP", what]] + rows), terminator: "")
    if !logged {
      print("the fleet's log does not have it yet: it is appended when it can be")
    }
    if !complete { throw ExitCode(1) }
  }
}
