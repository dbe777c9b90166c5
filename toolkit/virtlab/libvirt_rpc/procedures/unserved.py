"""Names of the procedures that are not declared, so that a refusal tells what was asked for.

Procedures without a function of libvirt's public API are left out: steps of a migration and of
authentication, which no program calls by itself.

Source: remote_protocol.x of libvirt 9.0.0, and the functions that libvirt.so exports.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FUNCTIONS"]

_NAMES: Final = (
    "8:virDomainAttachDevice 13:virDomainDetachDevice 39:virNetworkCreate 40:virNetworkCreateXML "
    "41:virNetworkDefineXML 42:virNetworkDestroy 43:virNetworkGetXMLDesc "
    "44:virNetworkGetAutostart 45:virNetworkGetBridgeName 48:virNetworkSetAutostart "
    "49:virNetworkUndefine 53:virDomainCoreDump 54:virDomainRestore 55:virDomainSave "
    "75:virConnectFindStoragePoolSources 76:virStoragePoolCreateXML 77:virStoragePoolDefineXML "
    "78:virStoragePoolCreate 79:virStoragePoolBuild 80:virStoragePoolDestroy "
    "81:virStoragePoolDelete 82:virStoragePoolUndefine 83:virStoragePoolRefresh "
    "86:virStoragePoolLookupByVolume 87:virStoragePoolGetInfo 88:virStoragePoolGetXMLDesc "
    "89:virStoragePoolGetAutostart 90:virStoragePoolSetAutostart 91:virStoragePoolNumOfVolumes "
    "92:virStoragePoolListVolumes 93:virStorageVolCreateXML 94:virStorageVolDelete "
    "95:virStorageVolLookupByName 98:virStorageVolGetInfo 99:virStorageVolGetXMLDesc "
    "100:virStorageVolGetPath 103:virDomainBlockPeek 104:virDomainMemoryPeek "
    "114:virNodeDeviceGetXMLDesc 115:virNodeDeviceGetParent 116:virNodeDeviceNumOfCaps "
    "117:virNodeDeviceListCaps 118:virNodeDeviceDettach 119:virNodeDeviceReAttach "
    "120:virNodeDeviceReset 123:virNodeDeviceCreateXML 124:virNodeDeviceDestroy "
    "125:virStorageVolCreateXMLFrom 130:virInterfaceGetXMLDesc 131:virInterfaceDefineXML "
    "132:virInterfaceUndefine 133:virInterfaceCreate 134:virInterfaceDestroy "
    "135:virConnectDomainXMLFromNative 136:virConnectDomainXMLToNative 142:virSecretDefineXML "
    "143:virSecretGetXMLDesc 144:virSecretSetValue 145:virSecretGetValue 146:virSecretUndefine "
    "152:virNetworkIsActive 153:virNetworkIsPersistent 154:virStoragePoolIsActive "
    "155:virStoragePoolIsPersistent 156:virInterfaceIsActive 158:virConnectCompareCPU "
    "160:virDomainAttachDeviceFlags 161:virDomainDetachDeviceFlags 162:virConnectBaselineCPU "
    "165:virStorageVolWipe 166:virDomainMigrateSetMaxDowntime 174:virDomainUpdateDeviceFlags "
    "177:virNWFilterGetXMLDesc 180:virNWFilterDefineXML 181:virNWFilterUndefine "
    "182:virDomainManagedSave 185:virDomainSnapshotCreateXML 186:virDomainSnapshotGetXMLDesc "
    "192:virDomainRevertToSnapshot 193:virDomainSnapshotDelete 201:virDomainOpenConsole "
    "207:virDomainMigrateSetMaxSpeed 208:virStorageVolUpload 209:virStorageVolDownload "
    "210:virDomainInjectNMI 211:virDomainScreenshot 220:virInterfaceChangeBegin "
    "221:virInterfaceChangeCommit 222:virInterfaceChangeRollback 226:virDomainSendKey "
    "232:virDomainSaveFlags 233:virDomainRestoreFlags 235:virDomainSaveImageGetXMLDesc "
    "236:virDomainSaveImageDefineXML 237:virDomainBlockJobAbort 239:virDomainBlockJobSetSpeed "
    "240:virDomainBlockPull 242:virDomainMigrateGetMaxSpeed 244:virDomainSnapshotGetParent "
    "246:virDomainSnapshotNumChildren 247:virDomainSnapshotListChildrenNames "
    "249:virDomainOpenGraphics 250:virNodeSuspendForDuration 251:virDomainBlockResize "
    "252:virDomainSetBlockIoTune 253:virDomainGetBlockIoTune 256:virDomainSetInterfaceParameters "
    "257:virDomainGetInterfaceParameters 259:virStorageVolWipePattern 260:virStorageVolResize "
    "266:virDomainBlockRebase 267:virDomainPMWakeup "
    "271:virDomainSnapshotIsCurrent 272:virDomainSnapshotHasMetadata "
    "275:virDomainSnapshotListAllChildren 282:virStoragePoolListAllVolumes "
    "288:virNodeSetMemoryParameters 290:virDomainBlockCommit 291:virNetworkUpdate "
    "295:virDomainSendProcessSignal 296:virDomainOpenChannel "
    "297:virNodeDeviceLookupSCSIHostByWWN 299:virDomainMigrateGetCompressionCache "
    "300:virDomainMigrateSetCompressionCache 301:virNodeDeviceDetachFlags "
    "309:virDomainCreateXMLWithFiles 310:virDomainCreateWithFiles "
    "313:virConnectNetworkEventRegisterAny 314:virConnectNetworkEventDeregisterAny "
    "334:virDomainCoreDumpWithFormat "
    "341:virNetworkGetDHCPLeases 343:virDomainOpenGraphicsFD "
    "345:virDomainBlockCopy 347:virNodeAllocPages 352:virDomainPinIOThread "
    "355:virDomainAddIOThread 356:virDomainDelIOThread "
    "364:virDomainMigrateStartPostCopy 366:virDomainSetPerfEvents "
    "368:virConnectStoragePoolEventRegisterAny 369:virConnectStoragePoolEventDeregisterAny "
    "372:virDomainSetGuestVcpus "
    "374:virConnectNodeDeviceEventRegisterAny 375:virConnectNodeDeviceEventDeregisterAny "
    "378:virStorageVolGetInfoFlags 380:virConnectSecretEventRegisterAny "
    "381:virConnectSecretEventDeregisterAny 384:virDomainSetVcpu 386:virDomainSetBlockThreshold "
    "388:virDomainManagedSaveGetXMLDesc 389:virDomainManagedSaveDefineXML "
    "390:virDomainSetLifecycleAction 392:virDomainDetachDeviceAlias "
    "393:virConnectCompareHypervisorCPU 394:virConnectBaselineHypervisorCPU 395:virNodeGetSEVInfo "
    "397:virNWFilterBindingLookupByPortDev 398:virNWFilterBindingGetXMLDesc "
    "399:virNWFilterBindingCreateXML 400:virNWFilterBindingDelete 402:virDomainSetIOThreadParams "
    "403:virConnectGetStoragePoolCapabilities 404:virNetworkListAllPorts "
    "405:virNetworkPortLookupByUUID 406:virNetworkPortCreateXML 407:virNetworkPortGetParameters "
    "408:virNetworkPortSetParameters 409:virNetworkPortGetXMLDesc 410:virNetworkPortDelete "
    "411:virDomainCheckpointCreateXML 412:virDomainCheckpointGetXMLDesc "
    "414:virDomainCheckpointListAllChildren 416:virDomainCheckpointGetParent "
    "417:virDomainCheckpointDelete 419:virConnectSetIdentity 420:virDomainAgentSetResponseTimeout "
    "421:virDomainBackupBegin 422:virDomainBackupGetXMLDesc 424:virDomainAuthorizedSSHKeysGet "
    "425:virDomainAuthorizedSSHKeysSet 427:virDomainStartDirtyRateCalc 428:virNodeDeviceDefineXML "
    "429:virNodeDeviceUndefine 430:virNodeDeviceCreate 431:virNWFilterDefineXMLFlags "
    "432:virNetworkDefineXMLFlags 433:virNodeDeviceGetAutostart 434:virNodeDeviceSetAutostart "
    "435:virNodeDeviceIsPersistent 436:virNodeDeviceIsActive 437:virNetworkCreateXMLFlags "
    "439:virDomainSetLaunchSecurityState 440:virDomainSaveParams 441:virDomainRestoreParams "
    "442:virDomainAbortJobFlags 443:virDomainFDAssociate "
)

FUNCTIONS: Final[dict[int, str]] = {
    int(number): function
    for number, _, function in (item.partition(":") for item in _NAMES.split())
}
