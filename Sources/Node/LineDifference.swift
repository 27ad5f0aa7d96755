/// Two texts, line by line, as `diff -u` shows them.
enum LineDifference {
  /// Lines of context around a change.
  private static let context = 3
  /// More changed lines than this are shown as all of the old and all of the new.
  private static let most = 4_000

  /// The lines that differ, with some around them; empty if none does.
  static func text(from old: String, to new: String, names: (old: String, new: String)) -> String {
    let edits = edits(from: lines(old), to: lines(new))
    guard edits.contains(where: { $0.mark != " " }) else { return "" }
    var text = "--- \(names.old)\n+++ \(names.new)\n"
    for hunk in hunks(of: edits) {
      let shown = edits[hunk]
      let oldStart = edits[..<hunk.lowerBound].count { $0.mark != "+" } + 1
      let newStart = edits[..<hunk.lowerBound].count { $0.mark != "-" } + 1
      let oldCount = shown.count { $0.mark != "+" }
      let newCount = shown.count { $0.mark != "-" }
      text += "@@ -\(oldStart),\(oldCount) +\(newStart),\(newCount) @@\n"
      for edit in shown { text += "\(edit.mark)\(edit.line)\n" }
    }
    return text
  }

  private struct Edit {
    let mark: Character
    let line: Substring
  }

  private static func lines(_ text: String) -> [Substring] {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    return lines
  }

  private static func edits(from old: [Substring], to new: [Substring]) -> [Edit] {
    var start = 0
    while start < min(old.count, new.count), old[start] == new[start] { start += 1 }
    var end = 0
    while end < min(old.count, new.count) - start,
      old[old.count - 1 - end] == new[new.count - 1 - end]
    { end += 1 }
    let removed = Array(old[start..<old.count - end])
    let added = Array(new[start..<new.count - end])
    return old[..<start].map { Edit(mark: " ", line: $0) } + middle(removed, added)
      + old[(old.count - end)...].map { Edit(mark: " ", line: $0) }
  }

  private static func middle(_ old: [Substring], _ new: [Substring]) -> [Edit] {
    guard old.count + new.count <= most else {
      return old.map { Edit(mark: "-", line: $0) } + new.map { Edit(mark: "+", line: $0) }
    }
    var removed = Set<Int>()
    var inserted = Set<Int>()
    for change in new.difference(from: old) {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, _, _): inserted.insert(offset)
      }
    }
    var edits: [Edit] = []
    var (oldIndex, newIndex) = (0, 0)
    while oldIndex < old.count || newIndex < new.count {
      if removed.contains(oldIndex) {
        edits.append(Edit(mark: "-", line: old[oldIndex]))
        oldIndex += 1
      } else if inserted.contains(newIndex) {
        edits.append(Edit(mark: "+", line: new[newIndex]))
        newIndex += 1
      } else {
        edits.append(Edit(mark: " ", line: new[newIndex]))
        oldIndex += 1
        newIndex += 1
      }
    }
    return edits
  }

  private static func hunks(of edits: [Edit]) -> [Range<Int>] {
    var hunks: [Range<Int>] = []
    for index in edits.indices where edits[index].mark != " " {
      let start = max(0, index - context)
      let end = min(edits.count, index + context + 1)
      if let last = hunks.last, start <= last.upperBound {
        hunks[hunks.count - 1] = last.lowerBound..<end
      } else {
        hunks.append(start..<end)
      }
    }
    return hunks
  }
}
