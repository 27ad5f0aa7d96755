// What the admin listener can want of the node's configuration. It takes time (files are read, names are
// looked up), so it is done on a thread of the node's, and the answer comes back through the loop's inbox.

package import Configuration

/// What is wanted.
package enum ConfigurationOrder: Sendable, Equatable {
  /// To read the file again and go by it.
  case reload
  /// To go back to what was in force before.
  case rollback
  /// To compare what is in force with the file.
  case compare
  /// To compare it with a text.
  case compareText([UInt8])
  /// To go by a text, if the generation in force is still the one that is named.
  ///
  /// `confirmWithin`: to go back by itself if nobody confirms it in so many nanoseconds; nil: it stays.
  case apply([UInt8], ifGeneration: UInt64?, confirmWithin: Int64?)
  /// To stay with what was applied.
  case confirm
  /// To go back to an earlier generation's text.
  case restore(UInt64)
}

/// What came of it.
package enum ConfigurationAnswer: Sendable {
  /// A configuration has come into force.
  case inForce(ReloadReport)
  /// Nothing has changed, and why.
  case refused(ReloadRefusal)
  /// How the file differs.
  case compared(ConfigurationDifference)
}

/// A configuration has come into force.
package struct ReloadReport: Sendable, Equatable {
  /// Its generation.
  package var generation: UInt64
  /// Settings that will be others only after a restart.
  package var needsRestart: [String] = []
  /// What the file's check had to say.
  package var warnings: [Diagnostic] = []
  /// What else an operator should know.
  package var notes: [String] = []
  /// When it goes back by itself unless it is confirmed before: wall clock, ms; nil: never.
  package var confirmBy: Int64?

  /// A report of a generation.
  package init(generation: UInt64) { self.generation = generation }

  /// In a line.
  package var summary: String {
    let restart =
      needsRestart.isEmpty
      ? "" : "; takes effect only at the next start: \(needsRestart.joined(separator: ", "))"
    return "the configuration is reloaded (generation \(generation))\(restart)"
  }
}

/// A configuration could not come into force.
package struct ReloadRefusal: Error, Sendable, Equatable {
  /// Why, in a line.
  package var reason: String
  /// What is wrong with the file, each with its place.
  package var diagnostics: [Diagnostic] = []

  /// A refusal.
  package init(_ reason: String, diagnostics: [Diagnostic] = []) {
    self.reason = reason
    self.diagnostics = diagnostics
  }
}

/// How the file differs from what is in force.
package struct ConfigurationDifference: Sendable, Equatable {
  /// The file's name.
  package var file: String
  /// Whether anything does, be it a secret that is not shown.
  package var isChanged: Bool
  /// The lines, as diff writes them; secrets are not shown.
  package var lines: String
  /// Settings that a reload would not change.
  package var needsRestart: [String] = []
  /// What is wrong with the file.
  package var diagnostics: [Diagnostic] = []
  /// Changes of limits by an operator, which a reload leaves where the file says nothing new.
  package var limits: [(name: String, change: String)] = []

  /// A difference.
  package init(file: String, isChanged: Bool, lines: String) {
    self.file = file
    self.isChanged = isChanged
    self.lines = lines
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.file == right.file && left.isChanged == right.isChanged && left.lines == right.lines
      && left.needsRestart == right.needsRestart && left.diagnostics == right.diagnostics
      && left.limits.elementsEqual(right.limits, by: { $0 == $1 })
  }
}

/// A configuration that is, or was, in force.
package struct FormerConfiguration: Sendable, Equatable {
  /// Its generation.
  package var generation: UInt64
  /// Since when it was in force: wall clock, ms.
  package var since: Int64
  /// Where it came from.
  package var source: ConfigurationOrigin

  /// An entry of the history.
  package init(generation: UInt64, since: Int64, source: ConfigurationOrigin) {
    self.generation = generation
    self.since = since
    self.source = source
  }
}

/// Where a configuration came from.
package enum ConfigurationOrigin: String, Sendable {
  /// The file, when the node started.
  case start
  /// The file, at a reload.
  case file
  /// A text that was sent to the admin listener.
  case applied
  /// An earlier one, by order.
  case restored
  /// An earlier one, because nobody confirmed what came after it.
  case unconfirmed
}

/// The configuration in force, for showing.
package struct ConfigurationInForce: Sendable {
  /// The file's name.
  package var file: String
  /// Its generation, and since when it is in force (wall clock, ms).
  package var generation: UInt64
  package var since: Int64
  /// How many generations there still are.
  package var liveGenerations: Int
  /// Whether there is an earlier one to go back to.
  package var hasFormer: Bool
  /// The text, without its secrets.
  package var text: String
  /// When it goes back by itself unless it is confirmed before: wall clock, ms; nil: never.
  package var confirmBy: Int64?
  /// What was in force, the present one last.
  package var history: [FormerConfiguration] = []

  /// What is in force.
  package init(
    file: String, generation: UInt64, since: Int64, liveGenerations: Int, hasFormer: Bool,
    text: String
  ) {
    self.file = file
    self.generation = generation
    self.since = since
    self.liveGenerations = liveGenerations
    self.hasFormer = hasFormer
    self.text = text
  }
}

/// The node's configuration, as the admin listener sees it.
package protocol ConfigurationControl: AnyObject, Sendable {
  /// What is in force; nil if the node was started without a file.
  var inForce: ConfigurationInForce? { get }

  /// Asks for another process, of the executable that is there now, to take this one's place; false if
  /// there is nobody to ask.
  func upgrade() -> Bool

  /// Does what is wanted, one after the other; `done` is called on a thread of the node's.
  func perform(
    _ order: ConfigurationOrder, done: @escaping @Sendable (ConfigurationAnswer) -> Void)
}
