# frozen_string_literal: true

require "json"
require "open3"
require_relative "preflight"

# Looks at this machine for the preflight; changes nothing.
module VirtlabBox
  # What cannot be found out on a system stays nil, and is not judged.
  module Machine
    RECORD = "/var/lib/virtlab/host.json" # of `virtlab host up`, which has booted a guest under KVM
    POOL = "/var/lib/libvirt/images"
    SOCKETS = %w[/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock /var/run/libvirt/libvirt-sock].freeze

    module_function

    # Returns the facts for one provider.
    def facts(provider, folder)
      provider == :libvirt ? libvirt_facts : virtualbox_facts(folder)
    end

    def libvirt_facts
      name = %w[kvm_intel kvm_amd].find { |one| File.exist?("/sys/module/#{one}") }
      disk = File.directory?(POOL) ? POOL : "/"
      Facts.new(
        memory_mib: meminfo_mib("MemTotal"), free_mib: meminfo_mib("MemAvailable"),
        disk: disk, disk_free_gib: disk_free_gib(disk),
        kvm: kvm, kvm_module: name, nested: name && nested(name), libvirtd: libvirtd
      )
    end

    # Source: the words of `VBoxManage list hostinfo`, which are the same on each system.
    def virtualbox_facts(folder)
      said = output("VBoxManage", "list", "hostinfo").to_s
      nested = said[/^Processor supports nested HW virtualization:\s*(\w+)/, 1]
      Facts.new(
        memory_mib: said[/^Memory size:\s*(\d+)/, 1]&.to_i, free_mib: said[/^Memory available:\s*(\d+)/, 1]&.to_i,
        disk: folder, disk_free_gib: disk_free_gib(folder), nested: nested && nested == "yes"
      )
    end

    def kvm
      return :absent unless File.exist?("/dev/kvm")
      return :forbidden unless File.readable?("/dev/kvm") && File.writable?("/dev/kvm")

      record = File.readable?(RECORD) ? JSON.parse(File.read(RECORD)) : {}
      record["accelerator"] == "qemu" ? :broken : :works
    rescue JSON::ParserError
      :works
    end

    # Source: Linux, Documentation/virt/kvm/x86/nested-vmx.rst; kvm_amd writes 1, kvm_intel Y.
    def nested(name)
      %w[1 Y].include?(File.read("/sys/module/#{name}/parameters/nested").strip)
    rescue SystemCallError
      nil
    end

    def libvirtd
      socket = SOCKETS.find { |path| File.exist?(path) }
      return :absent if socket.nil?

      File.writable?(socket) ? :works : :forbidden
    end

    def meminfo_mib(name)
      kib = File.read("/proc/meminfo")[/^#{name}:\s*(\d+) kB/, 1]
      kib && kib.to_i / 1024
    rescue SystemCallError
      nil
    end

    def disk_free_gib(folder)
      blocks = output("df", "-Pk", folder).to_s.lines.last.to_s.split[3]
      blocks&.match?(/\A\d+\z/) ? blocks.to_i / 1024 / 1024 : nil
    end

    # Tells whether a program is found, without running it.
    def program?(name)
      extensions = ENV.fetch("PATHEXT", "").split(";").push("")
      ENV.fetch("PATH", "").split(File::PATH_SEPARATOR).any? do |folder|
        extensions.any? { |extension| File.file?(File.join(folder, "#{name}#{extension}")) }
      end
    end

    def output(*command)
      text, status = Open3.capture2e(*command)
      status.success? ? text : nil
    rescue SystemCallError
      nil
    end
  end
end
