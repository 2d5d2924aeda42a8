import ClavigerWire

// The state table and the settings, as Markdown.
extension ProtocolPage {
    static var states: String {
        table(
            ["action", "kind"] + KeyState.allCases.map(\.name) + ["also", "source"],
            KeyAction.allCases.flatMap { action in
                let entry = action.entry
                let rulings = KeyKind.allCases.map { kind in KeyState.allCases.map { entry.ruling($0, kind).name } }
                let kinds =
                    rulings[0] == rulings[1] ? [("both", rulings[0])] : zip(["root", "standard"], rulings).map { ($0, $1) }
                return kinds.map { kind, cells in
                    [code(action.rawValue), kind] + cells + [
                        entry.conditions.map(condition).joined(separator: "; "), entry.source,
                    ]
                }
            })
    }

    private static func condition(_ condition: KeyCondition) -> String {
        switch condition {
        case .unexpired: "not expired, else `key-expired`"
        case .notBefore(let setting, let moment):
            "from \(code(setting.name)) after \(word(moment)) on, else "
                + (moment == .rotation ? "`rotation-too-soon` unless a reason is given" : "`too-early`")
        case .notAfter(let setting, let moment, let refusal):
            "until \(code(setting.name)) after \(word(moment)), else \(code(refusal.name))"
        }
    }

    private static func word(_ moment: KeyMoment) -> String {
        switch moment {
        case .disabling: "it was disabled"
        case .deletion: "it was deleted"
        case .rotation: "the last rotation"
        }
    }

    static var settings: String {
        table(
            ["setting", "standard", "least", "most", "unit", "meaning"],
            InstanceSetting.allCases.map { setting in
                let entry = setting.entry
                return [
                    code(setting.name), "\(entry.standard)", "\(entry.range.lowerBound)", "\(entry.range.upperBound)",
                    entry.unit.rawValue, entry.meaning,
                ]
            })
    }
}
