import ArgumentParser
import ClavigerClient

/// `claviger settings`.
struct SettingsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings",
        abstract: "Shows and changes the instance's delays, windows and limits.",
        discussion: """
            Examples:
              claviger settings show
              claviger settings set purge-delay 8h
              claviger settings set maximum-rings 200
            """,
        subcommands: [Show.self, Set.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows all settings, or one.",
            discussion: """
                Examples:
                  claviger settings show
                  claviger settings show purge-delay

                JSON: settings: \(SettingDocument.fields); times are in seconds.
                """)

        @Argument(help: "Only this one.")
        var name: String?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            var settings = try options.ask { (client) throws(ClientError) in try client.settings() }
            if let name {
                settings = settings.filter { $0.name == name }
                guard !settings.isEmpty else {
                    throw CommandFailure.failed("there is no setting '\(name)'", "'claviger settings show' lists all")
                }
            }
            try options.print(Document(settings: settings.map(SettingDocument.init)), orText: SettingDocument.text(settings))
        }

        private struct Document: Encodable {
            var settings: [SettingDocument]
        }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Changes a setting; it holds from the next request on.",
            discussion: """
                A time is a span with its unit (8h, 30d), anything else a number.

                purge-delay, restore-window and auto-purge say when material ends. Keys keep the dates that they got when they were \
                deleted: a change is for later deletions. Lowering one takes the permission purge-keys too, asks first, and is refused \
                while there is a key that needs a second person to be purged.

                Examples:
                  claviger settings set purge-delay 8h
                  claviger settings set auto-purge 60d --yes
                  claviger settings set maximum-rings 200

                JSON: \(SettingDocument.fields).
                """)

        @Argument(help: "The setting.")
        var name: String

        @Argument(help: "Its new value.")
        var value: String

        @OptionGroup var confirmation: ConfirmationOption

        @OptionGroup var options: GlobalOptions

        private var number: UInt64? { UInt64(value) ?? Span(argument: value)?.seconds }

        /// Nil when only the daemon could know it.
        private var setting: InstanceSetting? { InstanceSetting(rawValue: name) }

        func validate() throws {
            // Thirty of what? Seconds instead of days would destroy keys.
            if let number = UInt64(value), number > 0, setting?.entry.unit == .seconds {
                throw ValidationError(
                    "'\(name)' is a time: say in which unit, \(value)s, \(value)min, \(value)h, \(value)d or \(value)w")
            }
            if number == nil { throw ValidationError("'\(value)' is neither a number nor a span of time (\(Span.form))") }
        }

        func run() throws {
            try confirmLower()
            let setting = try options.ask { (client) throws(ClientError) in try client.setSetting(name, to: number ?? 0) }
            try options.print(SettingDocument(setting), orText: SettingDocument.text([setting]))
        }

        /// Asks before a value is lowered by which material ends.
        private func confirmLower() throws(CommandFailure) {
            guard confirmation.asks, setting?.endsMaterial == true, let number else { return }
            let settings = try options.ask { (client) throws(ClientError) in try client.settings() }
            guard let before = settings.first(where: { $0.name == name })?.value, number < before else { return }
            try confirmation.confirm { () throws(CommandFailure) in
                """
                Lower \(name) from \(SettingDocument.span(before)) to \(SettingDocument.span(number))?
                What is deleted or retired from now on is gone that much sooner, and nothing brings it back.

                """
            }
        }
    }
}

private struct SettingDocument: Encodable {
    static let fields = "name, value, default, least, most, unit, meaning, updated, updatedBy"

    var name: String
    var value: UInt64
    var `default`: UInt64
    var least: UInt64
    var most: UInt64
    var unit: String
    var meaning: String
    var updated: String?
    var updatedBy: String?

    init(_ setting: SettingRecord) {
        name = setting.name
        value = setting.value
        `default` = setting.defaultValue
        least = setting.least
        most = setting.most
        unit = setting.unit
        meaning = setting.meaning
        updated = setting.updated.map(Text.time)
        updatedBy = setting.updatedBy
    }

    static func text(_ settings: [SettingRecord]) -> String {
        var table = Table(["SETTING", "VALUE", "DEFAULT", "FROM", "TO", "MEANING"])
        for setting in settings {
            let show = { (value: UInt64) in setting.unit == "s" ? span(value) : String(value) }
            table.add([
                setting.name, show(setting.value), show(setting.defaultValue), show(setting.least), show(setting.most),
                setting.meaning,
            ])
        }
        return table.text
    }

    /// Whole units, as `settings set` takes them: `90d`, `36h`, `90s`.
    static func span(_ seconds: UInt64) -> String {
        let units: [(UInt64, String)] = [(86_400, "d"), (3_600, "h"), (60, "min")]
        guard seconds > 0, let unit = units.first(where: { seconds % $0.0 == 0 }) else { return "\(seconds)s" }
        return "\(seconds / unit.0)\(unit.1)"
    }
}
