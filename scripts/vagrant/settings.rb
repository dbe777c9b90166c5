# frozen_string_literal: true

# What the Vagrantfile is told by environment variables, checked; and what follows from it.
module VirtlabBox
  # A value that cannot be used: what, where and mend, in one line.
  class Mistake < StandardError; end

  # Boxes by release and provider. VirtualBox: those that Chef's bento builds and publishes
  # (github.com/chef/bento), as courses have used them. libvirt: the distribution's cloud images, packed
  # unchanged (github.com/alchemy-solutions/vagrant-cloud-images), as bento has none for it.
  BOXES = {
    "24.04" => { virtualbox: "bento/ubuntu-24.04", libvirt: "cloud-image/ubuntu-24.04" },
    "22.04" => { virtualbox: "bento/ubuntu-22.04", libvirt: "cloud-image/ubuntu-22.04" }
  }.freeze

  TESTS = %w[all cpu memory].freeze
  # micro: up in seconds, emulated too; cloud: a cloud image; uvt: as the course has them, by Ubuntu's uvtool.
  KINDS = %w[micro cloud uvt].freeze
  ACCELERATORS = %w[auto kvm qemu].freeze
  CPUS = (1..32).freeze
  MEMORY_MIB = (1024..262_144).freeze
  GUESTS = (0..64).freeze

  # The course's guests: eight of 512 MiB for the CPU tests; four that grow to 2048 MiB for the memory tests.
  CPU_TEST_GUESTS = 8
  MEMORY_TEST_GUESTS = 4
  GUEST_MIB = 512
  GUEST_MAX_MIB = 2048
  # What `virtlab run --host real` wants beside the guests' memory (hosts/real/requirements.py), and what
  # the box's own system is given.
  QEMU_MIB = 100
  SPARE_MIB = 400
  SYSTEM_MIB = 600

  # The settings of one box.
  Settings = Struct.new(
    :ubuntu, :cpus, :memory_mib, :guests, :kind, :tests, :accelerator, :box, keyword_init: true
  ) do
    def self.from(environment)
      Reader.new(environment).settings
    end

    # Returns the box's name for a provider.
    def box_for(provider)
      box || BOXES.fetch(ubuntu).fetch(provider)
    end

    # Returns the memory that the tests asked for take.
    def memory_needed_mib
      VirtlabBox.memory_needed_mib(tests, guests)
    end

    # Returns the guests to launch, as launch.yml takes them: named and sized as in the course.
    def scenario_guests
      largest = VirtlabBox.largest_mib(tests)
      (1..guests).map do |number|
        {
          "name" => "aos_vm#{number}", "memory_mib" => GUEST_MIB, "max_memory_mib" => largest,
          "vcpus" => 1, "deflate_on_oom" => false
        }
      end
    end
  end

  # Returns the size that each guest that is launched may grow to.
  def self.largest_mib(tests)
    tests == "memory" ? GUEST_MAX_MIB : GUEST_MIB
  end

  def self.memory_needed_mib(tests, guests)
    launched = guests * (largest_mib(tests) + QEMU_MIB)
    tested = tests == "cpu" ? 0 : MEMORY_TEST_GUESTS * (GUEST_MAX_MIB + QEMU_MIB)
    [launched, tested].max + SPARE_MIB + SYSTEM_MIB
  end

  # Reads the variables, one after the other; the first that cannot be used is told.
  class Reader
    def initialize(environment)
      @environment = environment
    end

    def settings
      tests = choice("VIRTLAB_TESTS", TESTS, "all")
      guests = number("VIRTLAB_GUESTS", GUESTS, tests == "memory" ? MEMORY_TEST_GUESTS : CPU_TEST_GUESTS)
      Settings.new(
        ubuntu: choice("VIRTLAB_UBUNTU", BOXES.keys, BOXES.keys.first),
        cpus: number("VIRTLAB_CPUS", CPUS, 4),
        memory_mib: number("VIRTLAB_MEMORY_MIB", MEMORY_MIB, whole_gib(VirtlabBox.memory_needed_mib(tests, guests))),
        guests: guests,
        kind: choice("VIRTLAB_GUESTS_KIND", KINDS, "micro"),
        tests: tests,
        accelerator: choice("VIRTLAB_ACCELERATOR", ACCELERATORS, "auto"),
        box: text("VIRTLAB_BOX")
      )
    end

    private

    def text(name)
      value = @environment[name]
      value unless value.nil? || value.empty?
    end

    def number(name, range, default)
      value = text(name)
      return default if value.nil?
      return value.to_i if value.match?(/\A\d{1,9}\z/) && range.cover?(value.to_i)

      raise Mistake, "#{name}=#{value}: not a whole number from #{range.min} to #{range.max}; " \
                     "fix: #{name}=#{default}, or leave it out"
    end

    def choice(name, known, default)
      value = text(name)
      return default if value.nil?
      return value if known.include?(value)

      raise Mistake, "#{name}=#{value}: not one of #{known.join(', ')}; " \
                     "fix: #{name}=#{default}, or leave it out"
    end

    def whole_gib(mib)
      (mib + 1023) / 1024 * 1024
    end
  end
end
