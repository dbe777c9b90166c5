# frozen_string_literal: true

require_relative "settings"

# What would spoil a `vagrant up`, looked for before anything is downloaded: each is one line that says
# what is wrong and how to mend it.
module VirtlabBox
  # What is known of the machine; nil where it could not be found out.
  Facts = Struct.new(
    :memory_mib, :free_mib, :disk_free_gib, :disk, :kvm, :nested, :kvm_module, :libvirtd, keyword_init: true
  )

  # One line; a fatal one ends the command.
  Finding = Struct.new(:fatal, :text)

  # Judges facts; looks at nothing.
  module Preflight
    # An image of Ubuntu, its overlay with the lab's packages, and the guests' files.
    DISK_GIB = 10
    # What the machine's own system is left.
    SYSTEM_LEFT_MIB = 1024

    module_function

    # Returns the findings for a box on this machine, the fatal ones first.
    def findings(settings, provider, facts)
      found = [tests_memory(settings), machine_memory(settings, facts), free_memory(settings, facts), disk(facts)]
      found += provider == :libvirt ? libvirt(settings, facts) : virtualbox(facts)
      found.compact.sort_by.with_index { |one, index| [one.fatal ? 0 : 1, index] }
    end

    # Returns why no provider can be used, or nil; asked before Vagrant looks for one, as it says less.
    def provider_lack(asked, plugin:, virtualbox:)
      return if plugin && asked != "virtualbox"
      return if virtualbox && asked != "libvirt"

      fix = "fix: sudo apt-get install vagrant-libvirt, or vagrant plugin install vagrant-libvirt"
      return "Vagrant has no plugin for libvirt; #{fix}" if asked == "libvirt"
      return "VirtualBox is not installed (VBoxManage is not found); fix: install VirtualBox 6.1 or newer" if asked

      "there is neither VirtualBox nor Vagrant's plugin for libvirt; #{fix}, or install VirtualBox 6.1 or newer"
    end

    # Returns how guests of libvirt run: as asked, else under KVM where it can be used.
    def accelerator(settings, facts)
      return settings.accelerator unless settings.accelerator == "auto"

      facts.kvm == :works ? "kvm" : "qemu"
    end

    def tests_memory(settings)
      needed = settings.memory_needed_mib
      return if settings.memory_mib >= needed

      # One sentence for the memory tests, whose four guests grow to 2 GB each.
      what = settings.tests == "cpu" ? "#{settings.guests} guests" : "the memory tests, whose four guests grow to 2048 MiB each"
      warning("VIRTLAB_MEMORY_MIB=#{settings.memory_mib} is too little for #{what}: #{needed} MiB are needed; " \
              "fix: VIRTLAB_MEMORY_MIB=#{needed}#{', or VIRTLAB_TESTS=cpu' unless settings.tests == 'cpu'}")
    end

    def machine_memory(settings, facts)
      return if facts.memory_mib.nil? || facts.memory_mib >= settings.memory_mib + SYSTEM_LEFT_MIB

      fatal("this machine has #{facts.memory_mib} MiB of memory, too little for a box of #{settings.memory_mib} MiB " \
            "and itself; #{smaller(settings)}")
    end

    def free_memory(settings, facts)
      return if facts.free_mib.nil? || facts.free_mib >= settings.memory_mib
      return if machine_memory(settings, facts)

      warning("only #{facts.free_mib} MiB of this machine's memory are free, and the box takes up to " \
              "#{settings.memory_mib} MiB; fix: close other programs, or #{smaller(settings).delete_prefix('fix: ')}")
    end

    def smaller(settings)
      cpu = VirtlabBox.memory_needed_mib("cpu", CPU_TEST_GUESTS)
      return "fix: VIRTLAB_TESTS=cpu VIRTLAB_GUESTS=#{CPU_TEST_GUESTS}, which takes #{cpu} MiB" if settings.memory_mib > cpu

      "fix: fewer guests, as VIRTLAB_GUESTS=4 with VIRTLAB_MEMORY_MIB=4096"
    end

    def disk(facts)
      return if facts.disk_free_gib.nil? || facts.disk_free_gib >= DISK_GIB

      fatal("#{facts.disk} has #{facts.disk_free_gib} GiB free, and a box takes up to #{DISK_GIB} GiB; " \
            "fix: make room there, for instance: vagrant box prune")
    end

    def libvirt(settings, facts)
      [libvirtd(facts), kvm(settings, facts), nested(settings, facts)]
    end

    def libvirtd(facts)
      case facts.libvirtd
      when :absent
        fatal("libvirtd does not run on this machine; fix: sudo systemctl start libvirtd, " \
              "or install it: sudo apt-get install libvirt-daemon-system qemu-system-x86")
      when :forbidden
        fatal("you may not speak to libvirtd; fix: sudo usermod -aG libvirt $USER, then log in anew")
      end
    end

    def kvm(settings, facts)
      slow = "so the box is emulated, and slow"
      case [accelerator(settings, facts), facts.kvm]
      when ["kvm", :absent], ["kvm", :forbidden]
        fatal("VIRTLAB_ACCELERATOR=kvm, and KVM cannot be used here; fix: leave VIRTLAB_ACCELERATOR out")
      when ["qemu", :absent]
        warning("there is no /dev/kvm, #{slow}; fix: switch virtualisation on in the firmware, " \
                "or nested virtualisation in the machine that this one runs on")
      when ["qemu", :forbidden]
        warning("you may not open /dev/kvm, #{slow}; fix: sudo usermod -aG kvm $USER, then log in anew")
      when ["qemu", :broken]
        warning("guests do not boot under KVM here, as virtlab host up has found, #{slow}; fix: use another machine")
      end
    end

    def nested(settings, facts)
      return unless facts.nested == false && accelerator(settings, facts) == "kvm"

      name = facts.kvm_module
      warning("nested virtualisation is off, so guests in the box are emulated; " \
              "fix: echo 'options #{name} nested=1' | sudo tee /etc/modprobe.d/virtlab-nested.conf, " \
              "then sudo modprobe -r #{name} && sudo modprobe #{name}")
    end

    def virtualbox(facts)
      return [] unless facts.nested == false

      [warning("VirtualBox has no nested virtualisation on this machine, so guests in the box are emulated; " \
               "fix: switch VT-x or AMD-V on in the firmware, on Windows switch Hyper-V and memory integrity off, " \
               "and use VirtualBox 6.1 or newer")]
    end

    def fatal(text)
      Finding.new(true, text)
    end

    def warning(text)
      Finding.new(false, text)
    end
  end
end
